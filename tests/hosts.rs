//! What systemd, supervisors, kernels and application servers other than Gunicorn say of a process, by itself and beside nginx.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::{error, named};

#[test]
fn what_supervisors_and_servers_say_by_themselves() {
    let status = |unit: &str, process: &str, main: &str| {
        format!(
            "● {unit} - Shop\n     Loaded: loaded (/etc/systemd/system/{unit}; enabled)\n     Active: failed (Result: exit-code) since Wed 2026-03-04 09:15:02 UTC; 8s ago\n    Process: 411 ExecStart=/srv/shop/venv/bin/gunicorn shop.wsgi{process}\n   Main PID: 411 (code=exited, status={main})\n"
        )
    };
    let exited = |second: u32, program: &str, code: u32| {
        format!("2026-03-04 09:15:{second:02},120 INFO exited: {program} (exit status {code}; not expected)\n")
    };
    for (lines, expected) in [
        // The unit has the name of the application; its command tells whose it is, also where a terminal cut it.
        (status("shop.service", " (code=exited, status=255)", "255"), &["gunicorn_not_running"][..]),
        (status("shop.service", " --log>", "1/FAILURE"), &["gunicorn_not_running"]),
        (status("shop.service", " --log>", "203/EXEC"), &["worker_boot_failed"]),
        (status("shop.service", " (code=exited, status=0/SUCCESS)", "0/SUCCESS"), &[]),
        (exited(2, "gunicorn", 1), &["gunicorn_not_running"]),
        (exited(2, "gunicorn", 1) + &exited(4, "gunicorn", 1), &["worker_boot_failed", "worker_boot_failed"]),
        (exited(2, "gunicorn", 1) + &exited(4, "celery", 1), &["gunicorn_not_running"]),
        (exited(2, "celery", 1), &[]),
        (
            "shop.service: Failed at step EXEC spawning /srv/venv/bin/gunicorn: No such file or directory\n".to_owned(),
            &["worker_boot_failed"],
        ),
        (
            ["Failed at step EXEC spawning /srv/venv/bin/gunicorn: No such file or directory", "Main process exited, code=exited, status=203/EXEC"]
                .map(|text| format!("Mar  4 09:15:02 web1 systemd[1]: gunicorn.service: {text}\n"))
                .concat(),
            &["worker_boot_failed"],
        ),
        ("    raise HaltServer(reason, self.WORKER_BOOT_ERROR)\n".to_owned(), &["worker_boot_failed"]),
        ("    raise HaltServer(reason, self.APP_LOAD_ERROR)\n".to_owned(), &["app_load_failed"]),
        (
            "Error: class uri 'gevent' invalid or not found:\n\n[Traceback (most recent call last):\n  File \"/srv/lib/gunicorn/util.py\", line 99, in load_class\n    mod = importlib.import_module('.'.join(components))\nModuleNotFoundError: No module named 'gevent'\n".to_owned(),
            &["worker_boot_failed"],
        ),
        (
            "*** uWSGI listen queue of socket \"127.0.0.1:5000\" (fd: 3) full !!! (101/100) ***\n".to_owned(),
            &["listen_backlog_full"],
        ),
        (
            "Sun Mar  1 00:38:50 2026 - *** uWSGI listen queue of socket \":5000\" (fd: 3) full !!! (101/100) ***\n".to_owned(),
            &["listen_backlog_full"],
        ),
        ("*** no app loaded. GAME OVER ***\n".to_owned(), &["worker_boot_failed"]),
        (
            "DAMN ! worker 1 (pid: 301) died :( trying respawn ...\nworker respawning too fast !!! i have to sleep a bit (2 seconds)...\n".to_owned(),
            &["worker_boot_failed"],
        ),
        ("DAMN ! worker 1 (pid: 301) died :( trying respawn ...\n".to_owned(), &["worker_died"]),
        (
            "uwsgi_response_write_body_do(): Broken pipe [core/writer.c line 341] during POST /a/ (192.0.2.7)\n".to_owned(),
            &["client_closed_request"],
        ),
        ("Terminating timed out worker (worker failed to check in within 60 seconds): 301\n".to_owned(), &["worker_timeout"]),
        // Not killed, no server, the groups that hold it.
        ("    \"OOMKilled\": false,\n    \"ExitCode\": 137,\n".to_owned(), &[]),
        ("    \"OOMKilled\": true,\n    \"ExitCode\": 137,\n".to_owned(), &["worker_oom_killed"]),
        (
            ["system-shop.slice", "user@1000.service", "session-3.scope", "mysql.service"]
                .map(|unit| format!("Mar  4 09:15:02 web1 systemd[1]: {unit}: A process of this unit has been killed by the OOM killer.\n"))
                .concat(),
            &[],
        ),
    ] {
        assert_eq!(named(&lines), expected, "{lines}");
    }
}

#[test]
fn who_waits_for_a_server_says_why_nothing_listens() {
    let refused = error("connect() failed (111: Connection refused)", "connecting to upstream");
    let ended = |unit: &str, second: u32| {
        format!(
            "Mar  4 09:14:{second:02} web1 systemd[1]: {unit}: Main process exited, code=exited, status=1/FAILURE\n"
        )
    };
    let lines = format!("{}{}{refused}\n", ended("gunicorn.service", 50), ended("celery.service", 55));
    let quoted = told::of(&[("journal.log", &lines)], |verdict| {
        let texts: Vec<&str> = verdict.evidence.iter().map(|quote| quote.text.as_str()).collect();
        (verdict.cause.id, texts.join(" | "))
    });
    let [(cause, texts)] = quoted.try_into().expect("one verdict, and none of its own for the unit");
    assert_eq!(cause, "gunicorn_not_running");
    assert!(texts.contains("gunicorn.service") && !texts.contains("celery"), "{texts}");
    // Of two it may have been either, and one that was started again is there.
    let quotes_none = |more: &str| {
        let lines = format!("{}{more}{refused}\n", ended("gunicorn.service", 50));
        let quoted = |verdict: &why502::engine::verdict::Verdict| {
            verdict.evidence.iter().any(|quote| quote.text.contains("Main process exited"))
        };
        assert_eq!(told::of(&[("journal.log", &lines)], quoted), [false], "{lines}");
    };
    quotes_none(&ended("gunicorn-billing.service", 52));
    quotes_none("Mar  4 09:14:55 web1 systemd[1]: Started gunicorn daemon.\n");
}

#[test]
fn a_policy_that_is_not_about_nginx() {
    let denied = |process: &str, end: &str| {
        format!(
            "type=AVC msg=audit(1772615703.120:1): avc:  denied  {{ name_connect }} for  pid=6039 comm=\"{process}\" dest=3306 tclass=tcp_socket permissive={end}\n"
        )
    };
    assert_eq!(named(&denied("nginx", "0")), ["security_policy_denied"]);
    for (process, end) in [("gunicorn", "0"), ("nginx", "1")] {
        assert_eq!(named(&denied(process, end)), Vec::<String>::new(), "{process} {end}");
    }
    let child = "[pool www] child 301 exited on signal 11 (SIGSEGV) after 3.2 seconds from start";
    assert_eq!(named(&format!("WARNING: pid 411, fpm_children_bury(), line 77: {child}\n")), ["worker_crashed"]);
}

#[test]
fn uwsgi_ends_a_worker_that_took_too_long() {
    let limit = "Mar  4 09:15:01 web1 app: *** HARAKIRI ON WORKER 3 (pid: 301, try: 1) ***\n";
    let again = limit.replace("15:01", "15:02").replace("try: 1", "try: 2");
    let kill = "Mar  4 09:15:03 web1 app: DAMN ! worker 3 (pid: 301) died, killed by signal 9 :( trying respawn ...\n";
    let rule = |lines: &str| told::of(&[("a.log", lines)], told::rule);
    assert_eq!(rule(&format!("{limit}{again}{kill}")), ["worker_timeout.other_server_alone"]);
    assert_eq!(rule(kill), ["worker_killed.alone"]);
    let cut = error("upstream prematurely closed connection", "reading response header from upstream");
    assert_eq!(rule(&format!("{limit}{cut}")), ["worker_timeout.other_server"]);
    let rivals = told::of(&[("a.log", &format!("{limit}{cut}"))], |verdict| {
        verdict.evidence.iter().filter(|quote| quote.text.contains("also be")).count()
    });
    assert_eq!(rivals, [0], "that nothing says why is no rival");
}

#[test]
fn supervisord_tells_of_an_end_at_any_level() {
    let of = |line: &str| told::of(&[("a.log", line)], |verdict| verdict.cause.id);
    for words in [
        "exited: gunicorn (terminated by SIGKILL; not expected)",
        "exited: gunicorn (exit status 3; not expected)",
        "gave up: gunicorn entered FATAL state, too many start retries too quickly",
        "spawnerr: can't find command 'gunicorn'",
    ] {
        let bare = of(words);
        assert_eq!(bare.len(), 1, "{words}: {bare:?}");
        for level in ["INFO", "WARN", "CRIT", "ERRO"] {
            assert_eq!(of(&format!("2026-03-04 09:15:01,123 {level} {words}")), bare, "{level} {words}");
        }
    }
    assert_eq!(of("2026-03-04 09:15:01,123 INFO exited: gunicorn (exit status 0; expected)"), [""; 0]);
}

#[test]
fn out_of_memory_is_as_sure_as_the_name_of_its_process() {
    let killed = |process: &str, more: &str| {
        let line = format!(
            "Mar  4 09:15:03 web1 kernel: [ 4242.42] Out of memory: Killed process 301 ({process}) total-vm:9kB"
        );
        let lines = format!("{line}\n{more}");
        told::of(&[("kern.log", &lines)], told::rule)
    };
    let gunicorn = "[2026-03-04 09:15:09 +0000] [300] [INFO] Booting worker with pid: 309";
    assert_eq!(killed("gunicorn", ""), ["worker_oom_killed.named_alone"]);
    assert_eq!(killed("python3", ""), ["worker_oom_killed.alone"]);
    assert_eq!(killed("python3", gunicorn), ["worker_oom_killed.alone_in_sight"]);
    assert_eq!(killed("java", gunicorn), [""; 0]);
}

#[test]
fn a_child_of_a_worker_is_no_worker() {
    let lines = |emitter: u32| {
        format!(
            "[2026-03-04 09:15:00 +0000] [300] [INFO] Starting gunicorn 22.0.0
[2026-03-04 09:15:00 +0000] [300] [INFO] Using worker: aiohttp.GunicornWebWorker
[2026-03-04 09:15:00 +0000] [301] [INFO] Booting worker with pid: 301
[2026-03-04 09:15:09 +0000] [{emitter}] [ERROR] Worker (pid:399) exited with code 255"
        )
    };
    let said = |lines: &str| told::of(&[("a.log", lines)], |verdict| (verdict.symptom.id(), verdict.cause.id));
    assert_eq!(said(&lines(301)), []);
    assert_eq!(said(&lines(300)), [("unknown", "worker_exited")]);
}

#[test]
fn a_unit_that_is_stopped_and_started_again() {
    let journal = |second: u32, line: &str| format!("Mar  4 09:15:{second:02} web1 systemd[1]: {line}\n");
    let stopped = journal(1, "Stopping gunicorn daemon...") + &journal(2, "Stopped gunicorn daemon.");
    let started = journal(5, "Started gunicorn daemon.");
    let refused = told::error("connect() failed (111: Connection refused)", "connecting to upstream") + "\n";
    let listens = "Mar  4 09:15:05 web1 gunicorn[99]: [2026-03-04 09:15:05 +0000] [99] [INFO] Listening at: http://10.1.2.3:8000 (99)\n";
    // The stop is told once, and by itself: Gunicorn's own log begins with its next start.
    assert_eq!(named(&stopped), ["gunicorn_restarting"]);
    for back in [started.clone(), started.clone() + listens] {
        assert_eq!(named(&format!("{stopped}{refused}{back}")), ["gunicorn_restarting"], "{back}");
    }
    let later = refused.replace("09:15:02", "09:15:08");
    assert_eq!(named(&format!("{stopped}{started}{later}")), ["gunicorn_not_running"]);
    // It is no failure that a socket is opened anew, nor that a unit is started again while nginx answers everybody.
    assert_eq!(named(&journal(1, "Stopping gunicorn socket...")), [""; 0]);
    let good = "198.51.100.20 - - [04/Mar/2026:09:15:00 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"x\"\n";
    let told = told::of(&[("nginx.log", good), ("journal.log", &(stopped + &started))], |verdict| verdict.cause.id);
    assert_eq!(told, [""; 0]);
}
