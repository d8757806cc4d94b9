//! What people and their tools put before a line: numbers, list marks, file names, prompts, pods.
//!
//! None of these is certain by itself, so each is taken off only where a record begins right behind it. A client's text
//! can stand right behind them where an access log begins with a quoted value of it, so a quote is a mark only where it
//! does not close before the line's end.

use super::marks;
use crate::read::client::ends_early;
use crate::read::envelope;
use crate::read::formats::{Format, table};
use crate::read::time::{iso_stamp, month_from_name};
use std::net::IpAddr;

/// Takes one kind of prefix off a line: the rest behind it.
type Way = fn(&str) -> Option<&str>;

/// What was taken off, and the rest.
pub(super) fn take_off(line: &str) -> Option<(&'static str, &str)> {
    let ways: [(&'static str, Way); 14] = [
        ("mark", mark),
        ("number", number),
        ("epoch", epoch),
        ("grep", file_name),
        ("details", details),
        ("events", events),
        // `journalctl --output=verbose` and `export`.
        ("journal", |line| line.strip_prefix("MESSAGE=")),
        ("stream", stream),
        ("host", host),
        ("supervisor", supervisor),
        ("python", python_bytes),
        ("prompt", prompt),
        ("prefix", unknown),
        ("object", object),
    ];
    ways.iter().find_map(|(name, way)| {
        let rest = way(line)?;
        let taken = line.get(..line.len() - rest.len()).unwrap_or_default();
        if taken.contains('"') && ends_early(rest) {
            return None;
        }
        let is_mark = matches!(*name, "mark" | "number");
        let is_enveloped = (is_mark || *name == "grep") && envelope::is_enveloped(rest);
        // `- ` before a line that stands in the marks of code.
        let is_code = || is_mark && rest.strip_prefix('`').is_some_and(begins_record);
        (is_enveloped || begins_record(rest) || envelope::is_dated(rest) || is_code()).then_some((*name, rest))
    })
}

/// Takes off what is certain by its own form and a record behind it, though it begins as a record may.
pub(super) fn take_off_certain(line: &str) -> Option<(&'static str, &str)> {
    stamp(line)
        .map(|rest| ("timestamp", rest))
        .or_else(|| columns(line).map(|rest| ("columns", rest)))
        .or_else(|| gcloud(line).map(|rest| ("gcloud", rest)))
}

/// True where a record begins, or the date of another tool's.
pub(super) fn begins_record(rest: &str) -> bool {
    let bytes = rest.as_bytes();
    let digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    let is_dated =
        digit(0) && digit(3) && bytes.get(4) == Some(&b'-') && digit(5) && bytes.get(7) == Some(&b'-') && digit(11);
    is_dated || table::begins_record(rest).is_some()
}

/// The format of a record that begins with its stamp or its client's address.
fn stamped(rest: &str) -> Option<Format> {
    table::begins_record(rest).filter(|_| rest.starts_with(|c: char| c == '[' || c.is_ascii_digit()))
}

/// `- `, `# `, `// `, `• `.
fn mark(line: &str) -> Option<&str> {
    // A bracket may be the head's own.
    let outer = line.trim_start_matches(|c| c != '[' && marks::MARKS.contains(&c)).trim_start();
    if outer.len() < line.len() && begins_record(outer) {
        return Some(outer);
    }
    let rest = line.trim_start_matches(marks::MARKS);
    (rest.len() < line.len()).then(|| rest.trim_start())
}

/// `  12 `, `12: `, `12) `.
fn number(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 7 {
        return None;
    }
    let rest = line.get(digits..)?;
    let marked = rest.strip_prefix([':', '.', ')', '|']).or_else(|| rest.trim_start().strip_prefix(['|', '│']));
    let rest = marked.unwrap_or(rest);
    // `grep -n` puts nothing between its mark and the line.
    (rest.starts_with([' ', '\t']) || marked.is_some() && rest.starts_with('[')).then(|| rest.trim_start())
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

/// `web-5d9c8b7f4-x2x8p nginx `, with a bar behind it in k9s, and the namespace before it (`stern --all-namespaces`):
/// the name of the pod, and the record behind it.
pub(super) fn pod(line: &str) -> Option<(&str, &str)> {
    let behind_namespace =
        || line.split_once(' ').filter(|(name, _)| is_label(name)).and_then(|(_, rest)| named_pod(rest));
    named_pod(line).or_else(behind_namespace)
}

fn named_pod(line: &str) -> Option<(&str, &str)> {
    let (pod, rest) = line.split_once(' ')?;
    let (container, rest) = rest.split_once(' ')?;
    let is_pod =
        is_label(pod) && pod.contains('-') && !pod.contains('.') && pod.bytes().any(|byte| byte.is_ascii_digit());
    let rest = rest.trim_start_matches(['|', '│', ' ']);
    (is_pod && is_label(container) && begins_record(rest)).then_some((pod, rest))
}

/// A name as Kubernetes has them.
fn is_label(word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    !word.is_empty() && word.len() <= 253 && word.bytes().all(is_part)
}

/// `com.docker.compose.service=web,tier=front ` (`docker logs --details`). Other pairs may be an application's, before words of
/// its client.
fn details(line: &str) -> Option<&str> {
    let (labels, rest) = line.split_once(' ')?;
    let is_label = |label: &str| {
        let (key, value) = label.split_once('=').unwrap_or_default();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
        !key.is_empty() && key.bytes().chain(value.bytes()).all(is_part)
    };
    let of_docker = labels.split(',').any(|label| label.starts_with("com.docker."));
    (of_docker && labels.len() <= UNKNOWN_BYTES_MAX * 3 && labels.split(',').all(is_label)).then_some(rest)
}

/// `EVENTS`, number, time and stream before the line, which ends in its own time (`aws logs filter-log-events --output text`).
fn events(line: &str) -> Option<&str> {
    let mut columns = line.strip_prefix("EVENTS\t")?.splitn(4, '\t');
    let (_id, time, _stream) = (columns.next()?, columns.next()?, columns.next()?);
    let is_time = time.len() == 13 && time.bytes().all(|byte| byte.is_ascii_digit());
    columns.next().filter(|_| is_time)
}

/// `ERROR 2026-03-12T10:15:02Z [resource.labels.containerName: nginx] `: a row of Cloud Logging.
fn gcloud(line: &str) -> Option<&str> {
    let (level, rest) = line.split_once(' ')?;
    let (stamp, mut rest) = rest.split_once(' ')?;
    let is_level = level.len() <= 9 && level.bytes().all(|byte| byte.is_ascii_uppercase());
    iso_stamp(stamp).filter(|_| is_level && stamp.as_bytes().get(10) == Some(&b'T'))?;
    let is_labelled = rest.starts_with("[resource.") || rest.starts_with("[labels.");
    while let Some((inside, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        let Some((key, _)) = inside.split_once(": ") else { break };
        if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-')) {
            break;
        }
        rest = behind;
    }
    (is_labelled && begins_record(rest)).then_some(rest)
}

/// `web/nginx/0f3c2a `, `/ecs/web ` of CloudWatch, `[web-1] `, `web.1: `.
fn stream(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once([' ', '\t'])?;
    let inside = name.strip_suffix(':').or_else(|| name.strip_prefix('[')?.strip_suffix(']'));
    // `[192.0.2.7] - - [...` of ingress-nginx: the client of an access line.
    if inside.is_some_and(|inside| inside.parse::<IpAddr>().is_ok()) {
        return None;
    }
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
    (is_name && matches!(stamped(rest), Some(Format::NginxError | Format::Gunicorn))).then_some(rest)
}

/// `nginx stderr | `.
fn supervisor(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(" | ")?;
    (name.len() <= 80 && (name.ends_with(" stderr") || name.ends_with(" stdout"))).then(|| rest.trim_start())
}

/// What a tool that nobody told of puts before each line: `15.11.2021 19:38:49 nginx | `, `[ubuntu@web] out: `, `app[web.1]: `,
/// `03:07:17    `. It is told by what stands behind it, a whole head, and by its own words: stamps, marks, a name. Prose, an
/// address or a request before a head are somebody's text, which may quote a client.
pub(in crate::read) fn unknown(line: &str) -> Option<&str> {
    let ends = line.char_indices().take_while(|(at, _)| *at <= UNKNOWN_BYTES_MAX);
    let blanks = ends.filter(|(_, c)| matches!(c, ' ' | '\t')).map(|(at, _)| at + 1);
    let at = blanks.clone().find(|at| line.get(*at..).is_some_and(table::has_head));
    // Lines of a host, of PHP-FPM, of uWSGI and of a traceback have no such head; behind a time they begin nonetheless.
    let at = at.or_else(|| blanks.into_iter().find(|at| line.split_at_checked(*at).is_some_and(is_timed_line)))?;
    let (before, rest) = line.split_at_checked(at)?;
    is_of_tool(before).then_some(rest)
}

/// True where a line without a head of its own begins behind a prefix that tells the time and names nobody: behind a name
/// anybody's words may stand.
fn is_timed_line((before, rest): (&str, &str)) -> bool {
    let tells_time = before.split_whitespace().any(|word| word.matches(':').count() == 2);
    let begins = || match table::begins_record(rest) {
        Some(format) => matches!(format, Format::Host | Format::Exception),
        None => envelope::is_dated(rest),
    };
    tells_time && names_of_tool(before) == Some(0) && !rest.starts_with([' ', '\t']) && begins()
}

/// Bytes of such a prefix: a date in words, a name and a few marks.
const UNKNOWN_BYTES_MAX: usize = 100;

fn is_of_tool(prefix: &str) -> bool {
    names_of_tool(prefix).is_some()
}

/// How many names a prefix has; `None` for one that is no tool's.
fn names_of_tool(prefix: &str) -> Option<usize> {
    const MARKS: [&str; 14] =
        ["|", "│", "@", "-", "stdout", "stderr", "stdout:", "stderr:", "output:", "out:", "err:", "log:", "am", "pm"];
    let is_dated = |word: &str| {
        let word = word.trim_end_matches(',');
        word.len() == 3
            && (month_from_name(word.as_bytes()).is_some()
                || ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&word))
    };
    let is_address = |word: &str| word.matches('.').count() >= 3 || word.matches(':').count() > 3;
    let is_stamp = |word: &str| {
        let is_part = |byte: u8| byte.is_ascii_digit() || b":./,+-TZ[]".contains(&byte);
        word.bytes().all(is_part) && word.bytes().any(|byte| byte.is_ascii_digit()) && !is_address(word)
    };
    let is_level = |word: &str| word.len() <= 8 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_name = |word: &str| {
        let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./@[]':()".contains(&byte);
        word.bytes().all(byte) && word.bytes().any(|byte| byte.is_ascii_alphabetic()) && !word.starts_with('/')
    };
    let in_words = prefix.split_whitespace().any(is_dated);
    let mut names = 0;
    let is_word = |word: &str| {
        // A number alone is a day or a year of a date in words; anywhere else it may be a status.
        let is_number = word.trim_end_matches(',').bytes().all(|byte| byte.is_ascii_digit());
        if MARKS.contains(&word) || is_dated(word) || is_level(word) && !METHODS.contains(&word) {
            return true;
        }
        if is_stamp(word) {
            return in_words || !is_number;
        }
        names += 1;
        // Behind a date of syslog's a host and a program stand, where a shipper took the colon.
        is_name(word) && names <= if in_words { 2 } else { 1 }
    };
    (!prefix.trim().is_empty() && prefix.split_whitespace().all(is_word)).then_some(names)
}

/// Columns of Papertrail's archives before the last one, which is the line: id, two times, source with name and address,
/// facility, severity, program. Other tables may be access logs.
fn columns(line: &str) -> Option<&str> {
    const SEVERITIES: [&str; 8] = ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Info", "Debug"];
    let mut columns = line.splitn(10, '\t');
    let (id, received, generated) = (columns.next()?, columns.next()?, columns.next()?);
    let severity = columns.nth(4)?;
    let (_program, rest) = (columns.next()?, columns.next()?);
    let is_archive = id.bytes().all(|byte| byte.is_ascii_digit())
        && iso_stamp(received).is_some()
        && iso_stamp(generated).is_some()
        && SEVERITIES.contains(&severity);
    (is_archive && table::has_head(rest)).then_some(rest)
}

/// `docker.web: {"log":"`, `[0] web: [[1772615702.1, {}], {"log":"`: the object of a shipper behind the shipper's own words.
fn object(line: &str) -> Option<&str> {
    let at = line.find("{\"")?;
    let (front, rest) = line.split_at_checked(at)?;
    let words = front.replace("{}", " ");
    let words = words.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric));
    let words = words.collect::<Vec<_>>().join(" ");
    let rest = rest.trim_end().trim_end_matches(']');
    let is_shippers = front.len() <= TAG_BYTES_MAX && !front.contains('"') && is_of_tool(&words);
    (is_shippers && rest.ends_with('}') && envelope::is_object_with_text(rest)).then_some(rest)
}

/// The tag of a container's log in Kubernetes has its pod, namespace, name and id in it.
const TAG_BYTES_MAX: usize = 400;

/// `[2026-03-04T09:15:10Z] ` before a whole head.
fn stamp(line: &str) -> Option<&str> {
    let (inside, rest) = line.strip_prefix('[')?.split_once("] ")?;
    (iso_stamp(inside).is_some() && table::has_head(rest) && !is_value(rest)).then_some(rest)
}

/// The end of an access line behind a head, or an escaped quote: the head is a value of a client's, however much it looks
/// like one.
pub(super) fn is_value(rest: &str) -> bool {
    let is_access = table::begins_record(rest).and_then(table::row).is_some_and(|row| row.is_access);
    !is_access && (table::is_access_shaped(rest) || rest.contains("\\x22"))
}

/// Methods of requests, which are no level.
pub(super) const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"];

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
    let behind_blanks = front.match_indices(' ').filter(|(index, _)| *index > sign);
    behind_blanks.filter_map(|(index, _)| line.get(index + 1..)).find(|rest| stamped(rest).is_some())
}

#[cfg(test)]
mod tests {
    use crate::read::formats::{Format, Reader, Reading};
    use crate::read::time::from_utc;
    use crate::read::{SourceMemory, Wanted};

    const LINES: [&str; 3] = [
        "2021/11/15 19:38:49 [error] 12#12: *3 connect() failed (111: Connection refused) while connecting to upstream",
        "[2021-11-15 19:38:49 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)",
        "192.0.2.7 - - [15/Nov/2021:19:38:49 +0000] \"GET /a HTTP/1.1\" 502 5 \"-\" \"x\"",
    ];

    #[test]
    fn a_client_in_brackets_is_no_stream() {
        let line = "[192.0.2.7] - - [15/Nov/2021:19:38:49 +0000] \"GET /a HTTP/1.1\" 502 5 \"-\" \"x\"";
        let reading = Reader::default().read(line.as_bytes(), &mut SourceMemory::default(), &Wanted::default());
        let Reading::Proves(format, _) = reading else { panic!("{line}") };
        assert_eq!(format, Format::NginxAccess);
    }

    #[test]
    fn a_prefix_that_nobody_told_of() {
        for prefix in [
            "2021-11-15 19:38:49\tstdout\t",
            "15.11.2021 19:38:49 nginx | ",
            "[ubuntu@h] out: ",
            "Mon, Nov 15 2021 7:38:49 pm | ",
            "app[web.1]: ",
            "2021-11-15 19:38:49,123 DEBG 'nginx' stdout output: ",
            "03:07:17    ",
            "web1: ",
        ] {
            for line in LINES {
                let whole = format!("{prefix}{line}");
                let mut memory = SourceMemory::default();
                let reading = Reader::default().read(whole.as_bytes(), &mut memory, &Wanted::default());
                let Reading::Proves(_, evidences) = reading else { panic!("{whole}") };
                let told: Vec<_> =
                    evidences.iter().map(|one| (one.genuine, one.stamp.map(|stamp| stamp.nanos))).collect();
                assert_eq!(told, [(true, from_utc(2021, 11, 15, 19, 38, 49))], "{whole}");
            }
        }
    }

    #[test]
    fn somebodys_text_is_no_prefix() {
        for before in [
            "INFO chat message from bob: ",
            "192.0.2.7 - ",
            "192.0.2.7 200 ",
            "GET /a 200 ",
            "the log says ",
            "DELETE /x ",
            "\"",
            "user=\"bob\" said ",
            "200 ",
        ] {
            for line in LINES {
                let whole = format!("{before}{line}");
                assert_eq!(super::unknown(&whole), None, "{whole}");
            }
        }
    }
}
