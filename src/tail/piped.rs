//! Standard input as one more file that is followed: it is read by a thread of its own, which waits where there is no room.

use super::Line;
use super::followed::LINE_BYTES_MAX;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

/// What its lines are said to stand in.
const NAME: &str = "stdin";
/// Lines that are read ahead; each is cut at 1 MiB, and is some hundred bytes mostly.
const AHEAD_MAX: usize = 1_024;

/// Lines of a pipe.
#[derive(Debug)]
pub(super) struct Piped {
    lines: Receiver<(Vec<u8>, bool)>,
    /// Nothing more is coming.
    pub(super) is_over: bool,
}

impl Piped {
    /// Reads standard input from now on.
    pub(super) fn start() -> std::io::Result<Piped> {
        let (sender, lines) = sync_channel(AHEAD_MAX);
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || read(std::io::stdin().lock(), &sender))?;
        Ok(Piped { lines, is_over: false })
    }

    /// Takes lines that are there, at most some bytes of them; true when there may be more at once. `cut` counts those that
    /// were too long.
    pub(super) fn turn(&mut self, mut bytes: usize, lines: &mut Vec<Line>, cut: &mut u64) -> bool {
        while bytes > 0 {
            match self.lines.try_recv() {
                Ok((text, is_cut)) => {
                    bytes = bytes.saturating_sub(text.len() + 1);
                    *cut += u64::from(is_cut);
                    lines.push(Line { path: PathBuf::from(NAME), text });
                }
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => {
                    self.is_over = true;
                    return false;
                }
            }
        }
        true
    }
}

/// Hands line for line over until the input ends or nobody takes them.
fn read(mut input: impl BufRead, lines: &SyncSender<(Vec<u8>, bool)>) {
    let (mut line, mut is_cut) = (Vec::new(), false);
    loop {
        // What cannot be read has ended.
        let bytes = input.fill_buf().unwrap_or_default();
        let end = memchr::memchr(b'\n', bytes);
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        is_cut |= part.len() > room;
        line.extend_from_slice(part.get(..room).unwrap_or(part));
        let (is_whole, is_over) = (end.is_some(), bytes.is_empty());
        let taken = part.len() + usize::from(is_whole);
        input.consume(taken);
        if is_whole || is_over && !line.is_empty() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if lines.send((std::mem::take(&mut line), std::mem::take(&mut is_cut))).is_err() {
                return;
            }
        }
        if is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn lines_of_a_pipe() {
        let (sender, lines) = sync_channel(16);
        let long = vec![b'x'; LINE_BYTES_MAX + 5];
        let input = [b"one\r\n\ntwo\n".to_vec(), long, b"\nlast".to_vec()].concat();
        read(BufReader::with_capacity(7, input.as_slice()), &sender);
        drop(sender);
        let mut piped = Piped { lines, is_over: false };
        let (mut found, mut cut) = (Vec::new(), 0);
        assert!(piped.turn(4, &mut found, &mut cut), "there may be more");
        assert!(!piped.turn(usize::MAX, &mut found, &mut cut) && piped.is_over);
        let texts: Vec<usize> = found.iter().map(|line| line.text.len()).collect();
        assert_eq!((texts, cut), (vec![3, 0, 3, LINE_BYTES_MAX, 4], 1));
        assert!(found.iter().all(|line| line.path.as_os_str() == NAME));
    }
}
