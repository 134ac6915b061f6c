//! Cuts a stream of bytes into lines, with a bound. Pure: the socket is the caller's.

/// The longest line the daemon accepts, in bytes, its line feed not counted.
pub const MAX_LINE: usize = 1 << 20;

/// A line as it came off the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Whole(Vec<u8>),
    /// It had more bytes than allowed, which were thrown away as they came.
    TooLong,
}

/// Collects bytes and gives lines back.
#[derive(Debug)]
pub struct Lines {
    longest: usize,
    pending: Vec<u8>,
    /// How much of `pending` is known to hold no line feed.
    searched: usize,
    overlong: bool,
}

/// Lines of up to [`MAX_LINE`].
impl Default for Lines {
    fn default() -> Self {
        Self::up_to(MAX_LINE)
    }
}

impl Lines {
    /// Lines of up to `longest` bytes.
    pub fn up_to(longest: usize) -> Self {
        Self {
            longest,
            pending: Vec::new(),
            searched: 0,
            overlong: false,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next complete line, without its line feed (and carriage return).
    pub fn next_line(&mut self) -> Option<Line> {
        let Some(at) = self.pending[self.searched..]
            .iter()
            .position(|b| *b == b'\n')
        else {
            self.searched = self.pending.len();
            if self.pending.len() > self.longest {
                self.overlong = true;
                self.pending = Vec::new();
                self.searched = 0;
            }
            return None;
        };
        let end = self.searched + at;
        let mut line: Vec<u8> = self.pending.drain(..=end).collect();
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let too_long = std::mem::take(&mut self.overlong) || line.len() > self.longest;
        Some(if too_long {
            Line::TooLong
        } else {
            Line::Whole(line)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_bytes_arrive() {
        let mut lines = Lines::default();
        lines.push(b"{\"a\":");
        assert_eq!(lines.next_line(), None);
        lines.push(b"1}\r\nnext");
        assert_eq!(lines.next_line(), Some(Line::Whole(b"{\"a\":1}".to_vec())));
        assert_eq!(lines.next_line(), None);
        lines.push(b"\n\n");
        assert_eq!(lines.next_line(), Some(Line::Whole(b"next".to_vec())));
        assert_eq!(lines.next_line(), Some(Line::Whole(Vec::new())));
    }

    #[test]
    fn an_overlong_line_is_dropped_and_the_next_one_is_read() {
        let mut lines = Lines::default();
        for _ in 0..33 {
            lines.push(&[b'x'; 1 << 16]);
            assert_eq!(lines.next_line(), None);
            assert!(lines.pending.len() <= MAX_LINE + (1 << 16));
        }
        lines.push(b"x\nok\n");
        assert_eq!(lines.next_line(), Some(Line::TooLong));
        assert_eq!(lines.next_line(), Some(Line::Whole(b"ok".to_vec())));
    }

    #[test]
    fn exactly_the_limit_passes() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; MAX_LINE]);
        assert_eq!(lines.next_line(), None);
        lines.push(b"\n");
        assert!(matches!(lines.next_line(), Some(Line::Whole(l)) if l.len() == MAX_LINE));
    }
}
