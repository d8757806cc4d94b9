use super::*;
use proptest::prelude::*;

fn read(text: &str) -> NginxConf {
    NginxConf::read("n.conf", text, &mut |pattern| match pattern {
        "sites/*" => Ok(vec![
            Included {
                path: "sites/a".to_owned(),
                text: "server { location /a { proxy_pass http://a.test; } }".to_owned(),
            },
            Included { path: "sites/b".to_owned(), text: "server { server_name b.test\n; bad".to_owned() },
        ]),
        "n.conf" => Ok(vec![Included { path: "n.conf".to_owned(), text: "include n.conf;".to_owned() }]),
        "mime.types" => Ok(Vec::new()),
        _ => Err("no such file".to_owned()),
    })
}

/// One line for each thing that was learned.
fn check(text: &str, expected: &[&str]) {
    let conf = read(text);
    let mut lines = Vec::new();
    for format in &conf.log_formats {
        lines.push(format!("format {}: {}", format.name(), format.variables().collect::<Vec<_>>().join(" ")));
    }
    for log in &conf.access_logs {
        lines.push(format!("access_log {} {}", log.path, log.format));
    }
    for log in &conf.error_logs {
        lines.push(format!("error_log {log}"));
    }
    for upstream in &conf.upstreams {
        lines.push(format!(
            "upstream {} {} keepalive {:?}",
            upstream.name,
            upstream.servers.join(" "),
            upstream.keepalive
        ));
    }
    for pass in &conf.passes {
        let times =
            [pass.connect_timeout, pass.read_timeout, pass.send_timeout].map(|time| (time / MILLISECOND).to_string());
        lines.push(format!(
            "pass {} {} [{}] {} {}",
            pass.scheme,
            pass.address,
            pass.server_names.join(" "),
            pass.location,
            times.join(" ")
        ));
    }
    lines.extend(conf.mistakes.iter().map(Mistake::to_string));
    assert_eq!(lines, expected, "{text}");
}

#[test]
fn a_configuration() {
    check(
        r#"
        error_log /var/log/nginx/error.log warn;
        http {
            include mime.types;   # none of ours
            log_format timed escape=json '{"s":$status,'
                                         '"t":"${upstream_response_time}"}';
            access_log /var/log/nginx/access.log timed buffer=32k;
            proxy_read_timeout 90;
            upstream app { server 127.0.0.1:8000 max_fails=2; server unix:/run/a.sock backup; server ten; keepalive 16; }
            map $http_upgrade $up { default "a;b"; '' close; ~*\.(x|y)$ 1; }
            server {
                server_name shop.test *.shop.test;
                location ~ "\.php$" { fastcgi_pass unix:/run/php.sock; fastcgi_read_timeout 5m; }
                location / {
                    proxy_pass http://app/x;
                    proxy_connect_timeout 500ms;
                    if ($request_method = POST) { proxy_pass https://[2001:db8::1]; }
                    content_by_lua_block { local s = "}" -- }
                        if x then y = { [[ } ]] } end }
                    access_log off;
                }
                location /s { proxy_pass http://unix:/run/g.sock:/; access_log /var/log/s.log; }
                location /v { proxy_pass http://$where; uwsgi_pass 10.1.1.1:3031; }
            }
        }"#,
        &[
            "format timed: status upstream_response_time",
            "access_log /var/log/nginx/access.log timed",
            "access_log /var/log/s.log combined",
            "error_log /var/log/nginx/error.log",
            "upstream app 127.0.0.1:8000 unix:/run/a.sock ten:80 keepalive Some(16)",
            "pass fastcgi unix:/run/php.sock [shop.test *.shop.test] \\.php$ 60000 300000 60000",
            "pass http app [shop.test *.shop.test] / 500 90000 60000",
            "pass https [2001:db8::1]:443 [shop.test *.shop.test] / 500 90000 60000",
            "pass http unix:/run/g.sock [shop.test *.shop.test] /s 60000 90000 60000",
            "pass http $where [shop.test *.shop.test] /v 60000 90000 60000",
            "pass uwsgi 10.1.1.1:3031 [shop.test *.shop.test] /v 60000 60000 60000",
        ],
    );
}

#[test]
fn includes() {
    check(
        "proxy_read_timeout 7s;\ninclude sites/*;\ninclude none/*;",
        &[
            "pass http a.test:80 [] /a 60000 7000 60000",
            "sites/b: line 2: \"bad\" is not ended by \";\" or a block",
            "sites/b: line 2: the block of \"server\" that begins in line 1 is not closed",
            "n.conf: line 3: include none/*: no such file",
        ],
    );
    check("include n.conf;", &["n.conf: line 1: includes are nested more than 16 deep: does a file include itself?"]);
}

#[test]
fn mistakes() {
    check(
        "a {\n b 'c;\n}",
        &[
            "n.conf: line 2: the quote ' is not closed",
            "n.conf: line 2: the block of \"a\" that begins in line 1 is not closed",
        ],
    );
    check("a;\n}\nerror_log x;", &["error_log x", "n.conf: line 2: unexpected \"}\": no block is open here"]);
    check(";\nerror_log x;", &["error_log x", "n.conf: line 1: unexpected \";\""]);
    check("proxy_read_timeout soon;", &["n.conf: line 1: \"soon\" is no time: write 60s or 500ms"]);
    check(
        "\nlog_format x '$';",
        &[
            "n.conf: line 2: log_format, counted from its own line: line 1, column 15: no name of a variable after $; nginx has no escape for a dollar sign",
        ],
    );
}

#[test]
fn formats_and_addresses() {
    let conf = read(
        "log_format short '$status'; access_log /var/log/a.log short; access_log logs/b.log;
         upstream app { server 10.0.0.1:8000; } location / { proxy_pass http://app; } location /b { proxy_pass http://10.0.0.2; }",
    );
    let variables = |path: &str| conf.format_of(path).map(|format| format.variables().count());
    assert_eq!(variables("/var/log/a.log"), Some(1));
    assert_eq!(variables("/home/me/a.log"), Some(1));
    assert_eq!(variables("b.log"), Some(8));
    assert_eq!(variables("c.log"), None);
    assert_eq!(conf.addresses(), ["10.0.0.1:8000", "10.0.0.2:80"]);
}

#[test]
fn hostile_texts_end() {
    for unit in ["{", "a{", "}", "\"", "\\", "a_by_lua_block{", "#", "include n.conf;", "log_format a '$b';"] {
        let _ = read(&unit.repeat(20_000));
    }
}

proptest! {
    #[test]
    fn anything_goes(text in "\\PC{0,60}|([a-z{};\"'#\\\\$ \n]{1,4}|log_format |location |_by_lua_block\\{){0,30}") {
        let _ = read(&text);
    }
}

#[test]
fn variables_of_log_formats() {
    let check = |text: &str, expected: &[&str]| {
        let conf = read(text);
        let mistakes: Vec<String> = conf.mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(mistakes, expected, "{text}");
        assert_eq!(conf.log_formats.len(), 1, "it is used all the same");
    };
    check(
        "events {}\nlog_format a '$remote_addr $status $upstream_respons_time $team';",
        &[
            "n.conf: line 2: log_format: nginx has no variable $upstream_respons_time; did you mean \
             $upstream_response_time? What it holds is read as text",
            "n.conf: line 2: log_format: nginx has no variable $team; what it holds is read as text",
        ],
    );
    let logged = "log_format a '$status $team $http_x_team';";
    for defines in [
        "map $host $team { default a; }",
        "geo $team { default a; }",
        "split_clients $remote_addr $team { * a; }",
        "server { set $team a; }",
        "server { location / { auth_request_set $team $upstream_http_x; } }",
        "geoip2 /x.mmdb { auto_reload 5m; $team default=a country iso_code; }",
        "server { server_name ~^(?<team>.+)$; }",
        "server { location ~ ^/(?P<team>[a-z]+)/ { } }",
    ] {
        check(&format!("{logged}\n{defines}"), &[]);
    }
    // A file is missing that may define it.
    check(&format!("{logged}\ninclude maps;"), &["n.conf: line 2: include maps: no such file"]);
}
