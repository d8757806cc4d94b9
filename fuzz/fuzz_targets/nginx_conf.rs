//! Any text as an nginx configuration that includes itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use why502::read::nginx_conf::{Included, NginxConf};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut left = 20;
    let conf = NginxConf::read("fuzz", text, &mut |pattern| {
        if left == 0 {
            return Err("enough".to_owned());
        }
        left -= 1;
        Ok(vec![Included { path: pattern.to_owned(), text: text.to_owned() }])
    });
    let addresses = conf.addresses();
    for address in addresses.iter().take(20) {
        let _ = conf.is_of_another_upstream(&[(*address).to_owned()], address);
    }
    for pass in conf.passes.iter().take(20) {
        let host = pass.server_names.first().map(String::as_str);
        let passes = conf.passes_for(host, &pass.location);
        if let Some(server) = conf.only_server_of(&passes) {
            assert!(passes.iter().all(|pass| conf.servers_of(pass).contains(&server)));
        }
        let _ = (pass.place(), conf.passes_for(None, text));
    }
    for log in &conf.access_logs {
        let _ = conf.format_of(&log.path);
    }
});
