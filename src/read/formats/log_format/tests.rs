use super::*;
use proptest::prelude::*;

/// `name=value` of each field, `~` for none; or the reason why the directive is refused.
fn check(directive: &str, line: &str, expected: &str) {
    let read = match LogFormat::compile(directive) {
        Err(error) => error.to_string(),
        Ok(format) => match format.read(line.as_bytes()) {
            None => "no match".to_owned(),
            Some(fields) => fields
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("~")))
                .collect::<Vec<_>>()
                .join(" | "),
        },
    };
    assert_eq!(read, expected, "{directive}\n{line}");
}

#[test]
fn directives() {
    check("log_format a '$status' ' $pipe';", "502 p", "status=502 | pipe=p");
    check("log_format a\n  # why\n  '$status ' # here\n  \"${pipe}s\";", "502 .s", "status=502 | pipe=.");
    check("log_format a $status;", "502", "status=502");
    check("a '$status'", "502", "status=502");
    check("'$status'' $pipe'", "502 .", "status=502 | pipe=.");
    check("$status \"$http_x\"", "502 \"a b\"", "status=502 | http_x=a b");
    check("log_format a 's:$status\\tp:$pipe';", "s:502\tp:p", "status=502 | pipe=p");
    check("log_format a '$status \\'$pipe\\'';", "502 'p'", "status=502 | pipe=p");
    check("log_format a '$status\\n';", "502", "status=502");
}

#[test]
fn refused() {
    check(
        "  ",
        "",
        "the format is empty: give the text of a log_format directive, such as '$remote_addr \"$request\" $status'",
    );
    check("log_format a;", "", "line 1, column 14: the format of a log_format directive is missing after its name");
    check("log_format a '$status", "", "line 1, column 14: the quote ' is not closed");
    check("log_format a\n '$status ${pipe';", "", "line 2, column 11: the brace of ${...} is not closed");
    check(
        "log_format a 'costs $ 5';",
        "",
        "line 1, column 21: no name of a variable after $; nginx has no escape for a dollar sign",
    );
    check(
        "log_format a escape=xml '$status';",
        "",
        "line 1, column 14: unknown escape type \"xml\": use default, json or none",
    );
    check(
        "log_format a '$status'; gzip on;",
        "",
        "line 1, column 25: more text after the semicolon; give one log_format directive",
    );
    check("just words", "", "the format has no variable: nginx's variables begin with $, Gunicorn's look like %(h)s");
}

#[test]
fn escapes() {
    let line = r#""a\x22b\xC3\xA4" 502"#;
    check("\"$http_x\" $status", line, "http_x=a\"bä | status=502");
    check(
        "log_format j escape=json '{\"x\":\"$http_x\",\"s\":$status}';",
        r#"{"x":"a\"b\\\u000A\ud83d\ude00","s":502}"#,
        "http_x=a\"b\\\n😀 | status=502",
    );
    check(
        "log_format j escape=json '{\"t\":$upstream_response_time,\"s\":$status}';",
        r#"{"t":,"s":502}"#,
        "upstream_response_time=~ | status=502",
    );
    check("log_format n escape=none '$http_x $status';", r"a\x22 502", r"http_x=a\x22 | status=502");
    check("\"$http_x\" $status", "\"-\" 502", "http_x=~ | status=502");
}

#[test]
fn lists() {
    let format = "$upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id";
    check(
        format,
        "192.0.2.4:80, unix:/run/a.sock : 192.0.2.5:80 0, -, 12 0.001, -, 2.500 502, 504, 200 abc",
        "upstream_addr=192.0.2.4:80, unix:/run/a.sock : 192.0.2.5:80 | upstream_response_length=0, -, 12 | \
         upstream_response_time=0.001, -, 2.500 | upstream_status=502, 504, 200 | req_id=abc",
    );
    check(
        format,
        "- - - - abc",
        "upstream_addr=~ | upstream_response_length=~ | upstream_response_time=~ | upstream_status=~ | req_id=abc",
    );
    check(
        "${upstream_response_time}s $status",
        "0.001, 0.002s 502",
        "upstream_response_time=0.001, 0.002 | status=502",
    );
    check("$upstream_addr, $status", "a:1, b:2, 502", "upstream_addr=a:1, b:2 | status=502");
}

#[test]
fn shapes_find_the_end() {
    check(
        "$remote_addr - $request $status $http_user_agent $http_x_forwarded_for",
        "192.0.2.9 - GET /a HTTP/1.1 502 Browser/1 (X 502) 198.51.100.1, 198.51.100.2",
        "remote_addr=192.0.2.9 | request=GET /a HTTP/1.1 | status=502 | http_user_agent=Browser/1 (X 502) | \
         http_x_forwarded_for=198.51.100.1, 198.51.100.2",
    );
    check(
        "$scheme://$host$request_uri $status",
        "https://a.example/x?y 502",
        "scheme=https | host=a.example | request_uri=/x?y | status=502",
    );
    check("$uri$is_args$args $status", "/x?y=1 502", "uri=/x | is_args=? | args=y=1 | status=502");
    // Masked, and no request that nginx could parse.
    check(
        "$remote_addr \"$request\" $status",
        "xx.xx \"\\x16\\x03\" 400",
        "remote_addr=xx.xx | request=\u{16}\u{3} | status=400",
    );
    check(
        "$remote_addr \"$request\" $status",
        "192.0.2.9 \"GET / HTTP/1.1\" 502 more",
        "remote_addr=192.0.2.9 | request=GET / HTTP/1.1 | status=502 more",
    );
    check("$remote_addr \"$request\" $status", "something else", "no match");
}

#[test]
fn quick_status_agrees() {
    let check = |directive: &str, line: &str, expected: Option<Option<u16>>| {
        let format = LogFormat::compile(directive).expect("compiles");
        assert_eq!(format.quick().map(|quick| quick.status(line.as_bytes())), expected, "{directive}\n{line}");
    };
    let combined = "192.0.2.9 - a [b] \\x22 502 [03/Mar/2027:10:20:30 +0000] \"GET /\\x22 HTTP/1.1\" 200 5 \"-\" \"x\"";
    check("combined", combined, Some(Some(200)));
    check("combined", "2027/03/03 10:20:30 [error] 7#7: *1 x, request: \"GET / HTTP/1.1\", host: \"a\"", Some(None));
    check(
        "log_format j escape=json '{\"u\":\"$http_x\",\"status\":$status,\"x\":1}';",
        r#"{"u":"\\\",\"status\":502","status":200,"x":1}"#,
        Some(Some(200)),
    );
    check(
        "$remote_addr [$time_local] $status \"$request\"",
        "192.0.2.9 [03/Mar/2027:10:20:30 +0000] 404 \"GET / HTTP/1.1\"",
        Some(Some(404)),
    );
    // What a client writes stands unquoted before the status: no short way.
    check("$remote_addr $request $status", "", None);
    check("log_format n escape=none '\"$request\" $status';", "", None);
}

#[test]
fn hostile_lines_end() {
    let format = LogFormat::compile("$a $b $c $d $e \"$f\" $g $h $i $j [$k] $l$m$n").expect("compiles");
    for unit in ["\"", " ", "a ", "\" \"", "\\", "[", ", ", " : "] {
        let line = unit.repeat((1 << 20) / unit.len());
        assert!(format.read(line.as_bytes()).is_none_or(|fields| fields.len() == 14));
    }
}

fn escaped(escape: Escape, value: &str) -> String {
    match escape {
        Escape::Json => value
            .chars()
            .map(|c| match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                c if (c as u32) < 32 => format!("\\u{:04X}", c as u32),
                c => c.to_string(),
            })
            .collect(),
        _ => value
            .bytes()
            .map(|byte| match byte {
                b'"' | b'\\' | 0..=31 | 127..=255 => format!("\\x{byte:02X}"),
                byte => char::from(byte).to_string(),
            })
            .collect(),
    }
}

proptest! {
    /// Quoted values come back whatever they hold.
    #[test]
    fn quoted_values_come_back(values in proptest::collection::vec("\\PC{0,12}|[\"\\\\ \\x00-\\x1f]{0,6}", 1..8), json: bool) {
        let escape = if json { Escape::Json } else { Escape::Default };
        let texts: Vec<String> = (0..values.len()).map(|index| format!("k{index}=\"$v{index}\"")).collect();
        let word = if json { "json" } else { "default" };
        let format = LogFormat::compile(&format!("log_format t escape={word} '{}';", texts.join(" "))).expect("compiles");
        let line: Vec<String> = values.iter().enumerate().map(|(index, value)| format!("k{index}=\"{}\"", escaped(escape, value))).collect();
        let line = line.join(" ");
        let fields = format.read(line.as_bytes()).expect("reads");
        for ((_, read), value) in fields.iter().zip(&values) {
            let expected = Some(value.as_str()).filter(|value| !value.is_empty() && *value != "-");
            prop_assert_eq!(read.as_deref(), expected);
        }
    }

    /// Neither a format nor a line can make it panic, and a read line has all variables.
    #[test]
    fn anything_goes(directive in "\\PC{0,40}|([$\"' a-z{}\\[\\],:;_]{1,3}){0,20}", line: Vec<u8>) {
        if let Ok(format) = LogFormat::compile(&directive) {
            if let Some(fields) = format.read(&line) {
                prop_assert_eq!(fields.len(), format.variables().count());
            }
            if let Some(quick) = format.quick() {
                let _ = quick.status(&line);
            }
        }
    }
}

#[test]
fn lists_end_at_their_delimiter() {
    check(
        "$upstream_addr|$upstream_status|$pipe",
        "192.0.2.4:80, b|502, 504|p",
        "upstream_addr=192.0.2.4:80, b | upstream_status=502, 504 | pipe=p",
    );
    check(
        "[$upstream_addr] $upstream_addr($upstream_status)",
        "[[2001:db8::1]:80] [2001:db8::1]:80(502)",
        "upstream_addr=[2001:db8::1]:80 | upstream_status=502",
    );
    check(
        "$upstream_addr,$status,$request_time",
        "a:1, b:2,502,0.004",
        "upstream_addr=a:1, b:2 | status=502 | request_time=0.004",
    );
}
