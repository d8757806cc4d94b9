//! What people and their tools put before a line: numbers, list marks, file names, prompts, pods.
//!
//! None of these is certain by itself, so each is taken off only where a record begins right behind it. A client's text
//! can stand right behind them where an access log begins with a quoted value of it, so a quote is a mark only where it
//! does not close before the line's end.

use crate::read::formats::{fragment, gunicorn_error, nginx_error, traceback};

/// Takes one kind of prefix off a line: the rest behind it.
type Way = fn(&str) -> Option<&str>;

/// What was taken off, and the rest.
pub(super) fn take_off(line: &str) -> Option<(&'static str, &str)> {
    let ways: [(&'static str, Way); 10] = [
        ("mark", mark),
        ("number", number),
        ("epoch", epoch),
        ("grep", file_name),
        ("stern", pod_and_container),
        ("stream", stream),
        ("host", host),
        ("supervisor", supervisor),
        ("python", python_bytes),
        ("prompt", prompt),
    ];
    ways.iter().find_map(|(name, way)| {
        let rest = way(line)?;
        let taken = line.get(..line.len() - rest.len()).unwrap_or_default();
        if taken.contains('"') && super::quoted::ends_early(rest) {
            return None;
        }
        let is_enveloped = matches!(*name, "mark" | "number" | "grep") && super::is_enveloped(rest);
        (is_enveloped || begins_record(rest)).then_some((*name, rest))
    })
}

/// True where a record begins.
pub(super) fn begins_record(rest: &str) -> bool {
    let bytes = rest.as_bytes();
    let digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    let is_dated =
        digit(0) && digit(3) && bytes.get(4) == Some(&b'-') && digit(5) && bytes.get(7) == Some(&b'-') && digit(11);
    is_dated
        || bytes.first() == Some(&b'{')
        || nginx_error::has_head(rest)
        || gunicorn_error::has_stamp(rest)
        || is_access(rest)
        || gunicorn_error::read(rest).is_some()
        || traceback::exception(rest).is_some()
        || rest.starts_with("Traceback (most")
        || fragment::nginx_error(rest).is_some_and(|found| found.start == 0)
        || crate::read::formats::host::read(rest).is_some()
}

/// `ADDRESS - USER [02/Mar/2026:`, with a host before it or not.
fn is_access(rest: &str) -> bool {
    let Some((before, after)) = rest.split_once(" [") else { return false };
    let bytes = after.as_bytes();
    before.contains(" - ")
        && before.len() <= 300
        && !before.contains('"')
        && bytes.get(2) == Some(&b'/')
        && bytes.get(6) == Some(&b'/')
}

/// `- `, `# `, `// `, `• `.
fn mark(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches([
        '-', '#', '/', '•', '·', '+', '|', '$', '%', '\'', '"', '(', '[', '…', '.', '│', '┃', '¦',
    ]);
    (rest.len() < line.len()).then(|| rest.trim_start())
}

/// `  12 `, `12: `, `12) `.
fn number(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 7 {
        return None;
    }
    let rest = line.get(digits..)?;
    let rest = rest.strip_prefix([':', '.', ')', '|']).unwrap_or(rest);
    rest.starts_with([' ', '\t']).then(|| rest.trim_start())
}

/// Seconds or milliseconds since 1970.
fn epoch(line: &str) -> Option<&str> {
    let (stamp, rest) = line.split_once([' ', '\t'])?;
    let digits = stamp.split('.').next()?;
    (matches!(digits.len(), 10 | 13 | 16 | 19) && stamp.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        .then(|| rest.trim_start())
}

/// `/var/log/nginx/error.log:`, with a line number behind it or not; `==> ... <==` never has a line behind it.
fn file_name(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(':')?;
    let is_name = name.len() <= 255 && !name.contains([' ', '"']) && (name.starts_with('/') || name.contains(".log"));
    if !is_name {
        return None;
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = rest.get(digits..).and_then(|after| after.strip_prefix(':')).filter(|_| digits > 0 && digits <= 9);
    Some(numbered.unwrap_or(rest).trim_start())
}

/// `web-5d9c8b7f4-x2x8p nginx `.
fn pod_and_container(line: &str) -> Option<&str> {
    let (pod, rest) = line.split_once(' ')?;
    let (container, rest) = rest.split_once(' ')?;
    let is_name = |word: &str| {
        !word.is_empty()
            && word.len() <= 253
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
    };
    let is_pod = is_name(pod) && pod.contains('-') && pod.bytes().any(|byte| byte.is_ascii_digit());
    (is_pod && is_name(container)).then(|| rest.trim_start())
}

/// `web/nginx/0f3c2a `, `/ecs/web ` of CloudWatch, `[web-1] `, `web.1: `.
fn stream(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once([' ', '\t'])?;
    let inside = name.strip_suffix(':').or_else(|| name.strip_prefix('[')?.strip_suffix(']'));
    let is_name = name.len() <= 255
        && (inside.is_some() || name.contains('/'))
        && inside
            .unwrap_or(name)
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/'));
    is_name.then(|| rest.trim_start())
}

/// `web-1 ` before a line that has its own stamp.
fn host(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(' ')?;
    let is_name = name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        && name.bytes().any(|byte| byte.is_ascii_alphabetic());
    let rest = rest.trim_start();
    (is_name && (nginx_error::has_head(rest) || gunicorn_error::has_stamp(rest))).then_some(rest)
}

/// `nginx stderr | `.
fn supervisor(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(" | ")?;
    (name.len() <= 80 && (name.ends_with(" stderr") || name.ends_with(" stdout"))).then(|| rest.trim_start())
}

/// `b'...\n'` as Python prints bytes.
fn python_bytes(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("b'").or_else(|| line.strip_prefix("b\""))?;
    let rest = rest.strip_suffix('\'').or_else(|| rest.strip_suffix('"'))?;
    Some(rest.strip_suffix("\\n").unwrap_or(rest))
}

/// `root@box:~# tail -f /var/log/nginx/error.log `: where the prompt is known, the record begins where one can.
fn prompt(line: &str) -> Option<&str> {
    const COMMANDS: [&str; 7] = ["tail ", "cat ", "less ", "head ", "grep ", "journalctl ", "docker "];
    let mut end = line.len().min(300);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let front = line.get(..end)?;
    let sign = front.find(['#', '$', '%'])?;
    let typed = front.get(sign + 1..)?.trim_start();
    let typed = typed.strip_prefix("sudo ").unwrap_or(typed);
    if !COMMANDS.iter().any(|command| typed.starts_with(command)) {
        return None;
    }
    front.match_indices(' ').filter(|(index, _)| *index > sign).filter_map(|(index, _)| line.get(index + 1..)).find(
        |rest| {
            !rest.starts_with(' ')
                && (nginx_error::has_head(rest)
                    || gunicorn_error::has_stamp(rest)
                    || is_access(rest) && rest.starts_with(|c: char| c.is_ascii_digit()))
        },
    )
}
