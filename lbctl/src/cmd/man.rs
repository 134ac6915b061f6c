//! `man`: writes the manual pages.

use std::fs;
use std::io;
use std::path::Path;

use lb_proto::document;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::os_error::in_words;

use crate::args::Man;
use crate::error::Error;
use crate::man;
use crate::ui::Ui;

pub(crate) fn run(args: &Man, ui: &Ui) -> Result<(), Error> {
    let pages = man::pages().map_err(Error::Output)?;
    fs::create_dir_all(&args.folder).map_err(|error| cannot("make", &args.folder, &error))?;
    for page in &pages {
        let file = args.folder.join(&page.file);
        fs::write(&file, &page.text).map_err(|error| cannot("write", &file, &error))?;
    }
    let folder = args.folder.display();
    ui.say(&format!(
        "{} pages are in {folder}; read one with: man -l {folder}/lbctl.1",
        pages.len()
    ));
    ui.json_if_asked(|| document::Man {
        folder: folder.to_string(),
        pages: pages.into_iter().map(|page| page.file).collect(),
    })
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> ErrorReply {
    let message = format!("cannot {what} {}: {}", path.display(), in_words(error));
    ErrorReply::new(ErrorCode::Failed, message)
        .hint("name a folder that you may write to; man(1) looks in /usr/local/share/man/man1")
}
