//! What reaches a terminal: our own colours where they are wanted, and nothing of what a log holds that it would obey.

use super::{ACCESS, ERROR, GUNICORN, explain, logs, program, said, write};

#[test]
fn colours_only_where_they_are_wanted() {
    let directory = logs();
    let with = |name: &str, format: &str| {
        let mut command = program(directory.path(), &["access.log", "error.log", "gunicorn.log", "--format", format]);
        said(command.env(name, "1").output().expect("runs")).out
    };
    assert!(with("CLICOLOR_FORCE", "text").contains("\x1b[1m\x1b[31mWORKER TIMEOUT (pid:301)\x1b[0m"));
    assert!(with("CLICOLOR_FORCE", "text").contains("\x1b[36mgunicorn.log:5\x1b[0m"));
    for (name, format) in
        [("NO_COLOR", "text"), ("NONE", "text"), ("CLICOLOR_FORCE", "json"), ("CLICOLOR_FORCE", "markdown")]
    {
        let out = with(name, format);
        assert!(out.contains("WORKER TIMEOUT (pid:301)") && !out.contains('\x1b'), "{name} {format}: {out}");
    }
    assert!(with("NO_COLOR", "text").contains("»WORKER TIMEOUT (pid:301)«"));
}

/// What a terminal obeys: escape, the one-character introducer, a bell, a return, a mark of writing direction.
const OBEYED: [char; 6] = ['\x1b', '\u{9b}', '\x07', '\r', '\u{202e}', '\x7f'];

#[test]
fn no_control_character_of_a_log_gets_through() {
    let bad: String = OBEYED.iter().collect();
    let bad = format!("{bad}[31m");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let access = ACCESS.replace("/cart?x=1", &format!("/cart?x={bad}")).replace("curl/8.1.2", &bad);
    write(path, "access.log", access);
    let error = ERROR.replace("/cart?x=1", &format!("/cart?x={bad}")).replace("shop.test", &format!("shop{bad}"));
    write(path, "error.log", error);
    write(path, "gunicorn.log", GUNICORN.replace("Perhaps", &format!("{bad}Perhaps")));
    let name = format!("gunicorn{}.log", bad);
    std::fs::rename(path.join("gunicorn.log"), path.join(&name)).expect("a name");
    write(path, "x.json", "{}");
    for format in ["text", "json", "markdown"] {
        let missing = format!("none{bad}.log");
        let arguments = ["access.log", "error.log", &name, &missing, "--format", format, "--traces", "x.json"];
        let said = explain(path, &arguments);
        for text in [&said.out, &said.error] {
            assert!(text.lines().count() > 0);
            assert_eq!(text.matches(OBEYED).collect::<Vec<_>>(), Vec::<&str>::new(), "{format}: {text:?}");
        }
        assert!(said.out.contains("/cart?x="), "{}", said.out);
        // Not even where our own colours are forced.
        let forced = program(path, &arguments).env("CLICOLOR_FORCE", "1").output().expect("runs");
        let forced = String::from_utf8_lossy(&forced.stdout).into_owned();
        let ours = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[36m"];
        let left = ours.iter().fold(forced, |text, style| text.replace(style, ""));
        assert_eq!(left.matches(OBEYED).collect::<Vec<_>>(), Vec::<&str>::new(), "{format}: {left:?}");
    }
}
