//! Ctrl-C while something is being waited for: the wait ends and says what it leaves behind.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lb_proto::error::{ErrorCode, ErrorReply};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
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
        Self::by(&[SIGINT])
    }

    /// [`Self::catch`], and the same of every signal that would end the process with the terminal as it is.
    ///
    /// # Errors
    /// `failed` where the system refuses a handler.
    pub(crate) fn catch_every_end() -> Result<Self, ErrorReply> {
        Self::by(&[SIGINT, SIGTERM, SIGHUP, SIGQUIT])
    }

    fn by(signals: &[i32]) -> Result<Self, ErrorReply> {
        let [pressed, once] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let register = |signal: i32| -> io::Result<()> {
            // First what tells of the signal: whatever is registered, it does not end the process
            // any more, and one that came before the rest is registered would be lost.
            flag::register(signal, pressed.clone())?;
            flag::register_conditional_default(signal, once.clone())?;
            flag::register(signal, once.clone())?;
            Ok(())
        };
        signals
            .iter()
            .copied()
            .try_for_each(register)
            .map_err(|e| {
                ErrorReply::new(ErrorCode::Failed, format!("cannot listen for Ctrl-C: {e}"))
            })?;
        Ok(Self { pressed })
    }

    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }
}
