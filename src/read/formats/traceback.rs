//! The lines of a Python traceback before its last, which alone says anything: its head, its frames and their code.

use crate::read::envelope;

/// True for a line of a traceback, in its envelope or bare. `inside` says that the line before it was one, and then
/// whether this one was: the code of a frame is told by its indent alone.
pub(super) fn continues(line: &str, inside: &mut bool) -> bool {
    let peeled = envelope::peel(line);
    let text = peeled.bare.trim();
    let is_indented = peeled.layers.contains(&"indent") || line.starts_with([' ', '\t']);
    *inside = is_head(text) || is_frame(text) || *inside && (is_indented || text.is_empty() || is_marker(text));
    *inside
}

/// `Traceback (most recent call last):` and what stands between two of them (`Lib/traceback.py`).
fn is_head(text: &str) -> bool {
    text.starts_with("Traceback (most recent call last)")
        || text.starts_with("During handling of the above exception, another")
        || text.starts_with("The above exception was the direct cause of")
}

/// `File "/srv/shop/wsgi.py", line 12, in load`.
fn is_frame(text: &str) -> bool {
    text.strip_prefix("File \"")
        .and_then(|rest| rest.split_once("\", line "))
        .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `~~~~^^^^` under the code of a frame.
fn is_marker(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'^' | b'~'))
}

#[cfg(test)]
mod tests {
    use crate::read::Wanted;
    use crate::read::formats::{Reader, Reading, SourceMemory};

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
