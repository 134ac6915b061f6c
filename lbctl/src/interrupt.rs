//! Ctrl-C while something is being waited for: the wait ends and says what it leaves behind.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lb_proto::error::{ErrorCode, ErrorReply};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

#[derive(Debug)]
pub(crate) struct Interrupt {
    pressed: Arc<AtomicBool>,
}

impl Interrupt {
    /// From here on the first Ctrl-C only raises a flag; the second ends the process as usual.
    ///
    /// # Errors
    /// `failed` where the system refuses the handler.
    pub(crate) fn catch() -> Result<Self, ErrorReply> {
        let pressed = Arc::new(AtomicBool::new(false));
        let register = || -> io::Result<()> {
            flag::register_conditional_default(SIGINT, pressed.clone())?;
            flag::register(SIGINT, pressed.clone())?;
            Ok(())
        };
        register().map_err(|e| {
            ErrorReply::new(ErrorCode::Failed, format!("cannot listen for Ctrl-C: {e}"))
        })?;
        Ok(Self { pressed })
    }

    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }
}
