//! Several programs that write one file or stream: whose line each is.

#[path = "common/told.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod told;

use told::{error, named};

#[test]
fn two_containers_in_one_file_are_two_writers() {
    let answered = |container: &str, path: &str, status: u16, bytes: u32| {
        format!(
            "{container} | 192.0.2.7 - - [04/Mar/2026:09:15:02 +0000] \"GET {path} HTTP/1.0\" {status} {bytes} \"-\" \"curl/8\"\n"
        )
    };
    let boots = "web-1 | [2026-03-04 09:15:01 +0000] [8] [INFO] Booting worker with pid: 8\n";
    let of_nginx = answered("nginx-1", "/cart", 504, 40);
    let statuses =
        |lines: &str| told::of(&[("compose.log", lines)], |verdict| (verdict.status, verdict.target.to_string()));
    let failed = (Some(504), "/cart".to_owned());
    assert_eq!(statuses(&format!("{boots}{of_nginx}")), std::slice::from_ref(&failed));
    assert_eq!(statuses(&format!("{boots}{of_nginx}{boots}{of_nginx}")).len(), 2);
    // Gunicorn's own access line is no other request.
    assert_eq!(
        statuses(&format!("{boots}{of_nginx}{}", answered("web-1", "/b", 502, 20))),
        std::slice::from_ref(&failed)
    );
    // Without names nginx's own page tells.
    let bare =
        format!("{boots}{}", answered("nginx-1", "/cart", 504, 167)).replace("web-1 | ", "").replace("nginx-1 | ", "");
    assert_eq!(statuses(&bare), [failed]);
}

#[test]
fn an_application_server_in_a_container_of_its_own() {
    let child = "[04-Mar-2026 09:15:02] WARNING: [pool www] child 31 exited on signal 11 (SIGSEGV) after 3.2 seconds from start";
    let cut = error("upstream prematurely closed connection", "reading response header from upstream")
        .replace("http://10.1.2.3:8000", "fastcgi://172.18.0.3:9000");
    let lines = format!("web-1  | {child}\nnginx-1  | {cut}\n");
    let told = told::of(&[("compose.log", &lines)], |verdict| (verdict.cause.id, verdict.records.len()));
    assert_eq!(told, [("worker_crashed", 2)]);
}

#[test]
fn an_address_that_leads_out_of_no_container() {
    let listens = |container: &str, second: u32, address: &str| {
        format!("{container}  | [2026-03-04 09:14:{second:02} +0000] [7] [INFO] Listening at: http://{address} (7)\n")
    };
    let refused = |address: &str| {
        let line = error("connect() failed (111: Connection refused)", "connecting to upstream");
        let access =
            "nginx-1  | 198.51.100.20 - - [04/Mar/2026:09:15:02 +0000] \"GET /cart HTTP/1.1\" 502 157 \"-\" \"x\"\n";
        format!("nginx-1  | {}\n{access}", line.replace("10.1.2.3:8000", address))
    };
    let said = |lines: &str| {
        let words = |verdict: &why502::engine::verdict::Verdict| {
            let evidence = verdict.evidence.iter().map(|quote| quote.text.as_str()).collect::<Vec<_>>().join(" | ");
            (verdict.cause.id, evidence)
        };
        told::of(&[("compose.log", lines)], words).remove(0)
    };
    // nginx asks its own container.
    let own = |listening: &str| said(&format!("{listening}{}", refused("127.0.0.1:8000")));
    let (cause, evidence) = own(&listens("web-1", 0, "0.0.0.0:8000"));
    assert_eq!(cause, "upstream_address_mismatch");
    assert!(evidence.contains("name the other container in `proxy_pass`"), "{evidence}");
    // A second service beside it listens elsewhere.
    let (cause, _) = own(&(listens("billing-1", 0, "0.0.0.0:9000") + &listens("web-1", 1, "0.0.0.0:8000")));
    assert_eq!(cause, "upstream_address_mismatch");
    // What Gunicorn binds is reached from its own container alone.
    let (cause, evidence) = said(&(listens("web-1", 0, "127.0.0.1:8000") + &refused("172.18.0.3:8000")));
    assert_eq!(cause, "upstream_address_mismatch");
    assert!(evidence.contains("bind 0.0.0.0"), "{evidence}");
    let both = listens("billing-1", 0, "127.0.0.1:8000") + &listens("web-1", 1, "127.0.0.1:8000");
    assert_eq!(said(&(both + &refused("172.18.0.3:8000"))).0, "gunicorn_not_running", "either may be meant");
    // It was not there yet, is started anew, or answers others.
    let late = listens("web-1", 0, "0.0.0.0:8000").replace("09:14:00", "09:15:04");
    assert_ne!(own(&late).0, "upstream_address_mismatch");
    assert_ne!(own(&(listens("web-1", 0, "0.0.0.0:8000") + &late)).0, "upstream_address_mismatch");
    let good = "nginx-1  | 198.51.100.9 - - [04/Mar/2026:09:15:01 +0000] \"GET /ok HTTP/1.1\" 200 5 \"-\" \"x\"\n";
    assert_ne!(own(&(listens("web-1", 0, "0.0.0.0:8000") + good)).0, "upstream_address_mismatch");
}

#[test]
fn two_gunicorns_that_write_one_stream() {
    let line =
        |second: u32, pid: u32, text: &str| format!("[2026-03-04 09:15:{second:02} +0000] [{pid}] [INFO] {text}\n");
    let listens =
        |second: u32, pid: u32, port: u32| line(second, pid, &format!("Listening at: http://127.0.0.1:{port} ({pid})"));
    let both = format!("{}{}{}", listens(0, 7, 8000), line(0, 31, "Booting worker with pid: 31"), listens(0, 70, 9000));
    let to = |message: &str, action: &str| error(message, action).replace("10.1.2.3:8000", "127.0.0.1:8000") + "\n";
    let cut = to("upstream prematurely closed connection", "reading response header from upstream");
    assert_eq!(named(&format!("{both}{}{cut}", line(2, 7, "WORKER TIMEOUT (pid:31)"))), ["worker_timeout"]);
    // Who wrote nothing since may have been the same server before, at another address.
    let refused = to("connect() failed (111: Connection refused)", "connecting to upstream");
    assert_eq!(named(&format!("{both}{refused}")), ["upstream_address_mismatch"]);
    // Who stops was there until then, and is what the request lacks.
    let stops = line(1, 7, "Handling signal: term");
    assert_eq!(named(&format!("{both}{stops}{refused}")), ["gunicorn_not_running"]);
}
