//! Kills at any moment, between senders that retry and backends that fail at random.

use super::*;

/// Rounds of the kill test: 20 in the ordinary run, more by `tests/kill.sh`.
fn rounds() -> u64 {
    let set = std::env::var_os("WHY502_KILL_ROUNDS").and_then(|rounds| rounds.to_str()?.parse().ok());
    set.unwrap_or(20)
}

/// Healthy records of each request of the kill test: a thousand rounds acknowledge more than a million records.
const HEALTHY: usize = 40;

/// Sends numbered records until it is told to stop, each again until it is acknowledged.
async fn sender(
    name: usize,
    address: Arc<Mutex<Option<SocketAddr>>>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    tries: Arc<AtomicU64>,
) {
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let connection = u32::try_from(name).expect("small") * 1_000_000 + number;
        let mut bodies: Vec<String> = (0..HEALTHY).map(|index| format!("{name} {number} {index}")).collect();
        if number.is_multiple_of(3) {
            bodies.extend(requests::refused_by_upstream(connection, &format!("/{name}/{number}")));
        }
        let request = requests::logs(&bodies.iter().map(String::as_str).collect::<Vec<&str>>());
        while !stop.load(Ordering::Relaxed) {
            let to = *address.lock().expect("unbroken");
            tries.fetch_add(1, Ordering::Relaxed);
            if let Some(to) = to
                && post_once(to, &request).await
            {
                acknowledged.lock().expect("unbroken").extend(bodies);
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// True when it was acknowledged; a connection that ends is no answer.
async fn post_once(to: SocketAddr, request: &[u8]) -> bool {
    use hyper_util::rt::TokioIo;
    let Ok(stream) = tokio::net::TcpStream::connect(to).await else { return false };
    let body = http_body_util::Full::new(bytes::Bytes::copy_from_slice(request));
    let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
        return false;
    };
    let connection = tokio::spawn(connection);
    let request =
        http::Request::post("/v1/logs").header("host", "test").header("content-type", "application/x-protobuf");
    let answer = sender.send_request(request.body(body).expect("a request")).await;
    connection.abort();
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_moment_lose_nothing_that_was_acknowledged() {
    let backends = [Backend::always(Reply::OneIn(8)).await, Backend::always(Reply::OneIn(3)).await];
    // The second one has so little memory that what it refuses goes by the disk.
    let exporters = [kept("otlphttp/one", &backends[0]), with_little_memory(kept("otlp/other", &backends[1]))];
    let place = Place::new("200ms", &exporters);
    let (address, stop) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
    let (acknowledged, tries) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicU64::new(0)));
    let mut senders = tokio::task::JoinSet::new();
    for name in 0..4 {
        let (address, stop) = (Arc::clone(&address), Arc::clone(&stop));
        senders.spawn(sender(name, address, stop, Arc::clone(&acknowledged), Arc::clone(&tries)));
    }
    for round in 0..rounds() {
        let mut program = place.run();
        if round % 4 == 3 {
            // In the middle of a start.
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..60))).await;
        } else {
            *address.lock().expect("unbroken") = Some(program.addresses().await.1);
            tokio::time::sleep(Duration::from_millis(rand::random_range(10..400))).await;
        }
        killed(&mut program).await;
        let said = program.stderr();
        assert!(!said.contains("error: ") && !said.contains("lost"), "round {round}: {said}");
        *address.lock().expect("unbroken") = None;
    }
    stop.store(true, Ordering::Relaxed);
    senders.join_all().await;
    backends.iter().for_each(Backend::recover);
    let mut program = place.run();
    program.addresses().await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("unbroken"));
    for backend in &backends {
        // What came is read once, however often it is looked at: there may be a million of them.
        let (mut read, mut missing, mut ours) = (0, acknowledged.clone(), 0);
        for _ in 0..600 {
            let came = backend.taken_since(&mut read);
            ours += came.iter().filter(|body| acknowledged.contains(*body)).count();
            came.iter().for_each(|body| {
                missing.remove(body);
            });
            if missing.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let shown: Vec<&String> = missing.iter().take(3).collect();
        assert!(missing.is_empty(), "{} of {} acknowledged: {shown:?}", missing.len(), acknowledged.len());
        let twice = ours - acknowledged.len();
        eprintln!(
            "{} rounds: {} records acknowledged, none missing, {twice} delivered again",
            rounds(),
            acknowledged.len()
        );
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
}
