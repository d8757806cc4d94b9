//! The lines of a Python traceback: its head, its frames with their code, and its last, which alone proves anything. A frame
//! by itself proves nothing; the application's own goes with the last line of its traceback.

use super::{Bare, Format, Reading};
use crate::read::evidence::Proof;
use crate::read::sniff::{Sign, Telltale, near, ours_if, word};

/// Its head, its frames and what stands between two of them.
pub const TELLTALES: &[Telltale] = &[
    word("raceback (most recent"),
    near("ve e", |around| ours_if(around.after.starts_with(b"xception"))),
    // The last line without a message, as a string of an object.
    near("ror\"", |around| ours_if(around.before.ends_with(b"Er"))),
    near(", li", |around| ours_if(around.after.starts_with(b"ne ") && around.before.ends_with(b"\""))),
];

/// Longest name of a file or a function that is kept of a frame, in bytes: a quote shows both in its 200 characters.
const NAME_BYTES_MAX: usize = 80;

/// How the class of an exception ends.
const KINDS: [&str; 11] = [
    "Error",
    "Exception",
    "Exit",
    "Interrupt",
    "Warning",
    "Configured",
    "Fault",
    "NotReady",
    "DoesNotExist",
    "Timeout",
    "Refused",
];

/// What the last line of a traceback proves.
pub(super) fn reading(line: &mut Bare<'_>) -> Option<Reading> {
    let (class, message) = exception(line.text)?;
    let frame = line.memory.frame.take();
    let proof = Proof::Exception { class: class.to_owned(), message: message.to_owned(), frame };
    Some(line.proves(Format::Exception, proof, None, !line.is_doubtful))
}

/// The last line of a Python traceback: `OSError: [Errno 24] Too many open files`, `SystemExit: 1`.
pub fn exception(line: &str) -> Option<(&str, &str)> {
    let (class, message) = match line.split_once(": ") {
        Some((class, message)) => (class, message),
        None => (line.trim_end_matches(':'), ""),
    };
    let name = class.rsplit('.').next()?;
    if class == "Error" {
        // Every class of this name is written with its module (`binascii.Error`); without one it is somebody's heading.
        return None;
    }
    let named = class.split('.').all(|part| !part.is_empty() && part.bytes().all(is_name_byte));
    let kind = KINDS.iter().any(|end| name.ends_with(end));
    (named && kind && name.as_bytes().first().is_some_and(u8::is_ascii_uppercase)).then_some((class, message))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The class of an exception before a colon, or as the last word.
pub fn by_shape(front: &[u8], line: &[u8]) -> Sign {
    let before_colon = memchr::memchr_iter(b':', front)
        .filter(|at| front.get(at + 1).is_none_or(|byte| *byte == b' '))
        .any(|at| ends_with_class(front.get(..at).unwrap_or_default()));
    let closed = memchr::memmem::find(front, b"\\n\"").and_then(|at| front.get(..at));
    let last = line.trim_ascii_end();
    let last = last.strip_suffix(b":").unwrap_or(last);
    ours_if(before_colon || ends_with_class(last) || closed.is_some_and(ends_with_class))
}

fn ends_with_class(text: &[u8]) -> bool {
    KINDS.iter().any(|kind| text.ends_with(kind.as_bytes()))
}

/// True for the bare text of a line of a traceback. `inside` says that the line before it was one, and then whether this
/// one was: the code of a frame is told by its indent alone.
pub(super) fn continues(text: &str, is_indented: bool, inside: &mut bool) -> bool {
    let text = text.trim();
    *inside = is_head(text) || is_frame(text) || *inside && (is_indented || text.is_empty() || is_marker(text));
    *inside
}

/// `Traceback (most recent call last):` and what stands between two of them (`Lib/traceback.py`).
pub(super) fn is_head(text: &str) -> bool {
    text.starts_with("Traceback (most recent call last)")
        || text.starts_with("During handling of the above exception, another")
        || text.starts_with("The above exception was the direct cause of")
}

/// `File "/srv/shop/wsgi.py", line 12, in load`.
fn is_frame(text: &str) -> bool {
    frame(text).is_some()
}

/// Path, and what follows `line `: `12, in load`.
fn frame(text: &str) -> Option<(&str, &str)> {
    let (path, rest) = text.strip_prefix("File \"")?.split_once("\", line ")?;
    rest.starts_with(|c: char| c.is_ascii_digit()).then_some((path, rest))
}

/// Notes a line of a traceback: of the frames behind its head the last that is the application's own stays.
pub(super) fn note(text: &str, own: &mut Option<Box<str>>) {
    let text = text.trim_start();
    if text.starts_with("File \"") {
        if let Some((path, rest)) = frame(text)
            && is_own(path)
            && let Some(shown) = shown(path, rest)
        {
            *own = Some(shown);
        }
    } else if own.is_some() && is_head(text) {
        *own = None;
    }
}

/// False for what is installed beside the application: packages, the standard library, Gunicorn, what Python makes itself
/// (`<frozen importlib._bootstrap>`), and the script that starts it all (`/srv/env/bin/gunicorn`).
fn is_own(path: &str) -> bool {
    let is_foreign = |part: &str| {
        let version = part.strip_prefix("python").or_else(|| part.strip_prefix("pypy"));
        matches!(part, "site-packages" | "dist-packages" | "gunicorn" | "bin")
            || version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    };
    !path.starts_with('<') && !path.split('/').any(is_foreign)
}

/// `app.py:19 in report`; without a function where the frame names none, as that of a SyntaxError.
fn shown(path: &str, rest: &str) -> Option<Box<str>> {
    let name_at = path.rfind('/').map_or(0, |at| at + 1);
    let mut name = path.get(name_at..)?;
    if name.starts_with("__") {
        // There is one in each package.
        let package = path.get(..name_at)?.trim_end_matches('/').rfind('/').map_or(0, |at| at + 1);
        name = path.get(package..)?;
    }
    let (line, function) = match rest.split_once(", in ") {
        Some((line, function)) => (line, function.trim()),
        None => (rest.trim_end_matches(','), ""),
    };
    // No file of Python has more lines, and nobody reads a longer name: what is longer is no frame.
    let is_frame = line.len() <= 8 && line.bytes().all(|byte| byte.is_ascii_digit());
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && function.len() <= NAME_BYTES_MAX;
    let place = (is_frame && fits).then(|| format!("{name}:{line}"))?;
    Some(if function.is_empty() { place } else { format!("{place} in {function}") }.into())
}

/// `~~~~^^^^` under the code of a frame.
fn is_marker(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'^' | b'~'))
}

#[cfg(test)]
mod tests {
    use crate::read::formats::{Reader, Reading};
    use crate::read::{SourceMemory, Wanted};

    /// `+` for each line that is recognised, `-` for each that is not.
    fn check(lines: &str, expected: &str) {
        let mut memory = SourceMemory::default();
        let mut read = |line: &str| match Reader::default().read(line.as_bytes(), &mut memory, &Wanted::default()) {
            Reading::Unrecognised => '-',
            Reading::Healthy(_) | Reading::Proves(..) => '+',
        };
        assert_eq!(lines.lines().map(&mut read).collect::<String>(), expected, "{lines}");
    }

    #[test]
    fn lines_before_the_last() {
        let traceback = "Traceback (most recent call last):
  File \"/srv/env/gunicorn/workers/base.py\", line 204, in handle_abort
    sys.exit(1)
    ~~~~~~~~^^^
SystemExit: 1
    some other program's line";
        check(traceback, "+++++-");
        let in_compose: Vec<String> = traceback.lines().map(|line| format!("web-1  | {line}")).collect();
        check(&in_compose.join("\n"), "+++++-");
        check(
            "KeyError: 'shop'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"/srv/shop/wsgi.py\", line 12, in <module>
    app = load()
shop.errors.ConfigurationError: no shop",
            "+-++++++",
        );
        check("  an indented line\nFile \"/srv/a.txt\" is missing\n    total", "---");
    }
}
