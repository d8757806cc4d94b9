//! Where a request goes, by the configuration.

use super::{LocationKind, NginxConf, Pass, Upstream};
use crate::read::address::{AddressMatch, compare};

impl NginxConf {
    /// The passes that a request may have gone through: those of its server, and of them those whose `location` fits its
    /// path best. `host` is the name of the server, or what the client called it. Where regular expressions may decide,
    /// there are several; none where nothing of the configuration fits.
    pub fn passes_for(&self, host: Option<&str>, target: &str) -> Vec<&Pass> {
        let path = target.split('?').next().unwrap_or_default();
        let named = |pass: &&Pass| host.is_some_and(|host| pass.server_names.iter().any(|name| is_named(name, host)));
        let mut of_server: Vec<&Pass> = self.passes.iter().filter(named).collect();
        if of_server.is_empty() {
            of_server = self.passes.iter().filter(|pass| pass.takes_any_name()).collect();
        }
        if of_server.is_empty() {
            of_server = self.passes.iter().collect();
        }
        let exact = |pass: &&&Pass| pass.location_kind == LocationKind::Exact && pass.location == path;
        let exact: Vec<&Pass> = of_server.iter().filter(exact).copied().collect();
        if !exact.is_empty() {
            return exact;
        }
        let fits = |pass: &&&Pass| pass.location_kind == LocationKind::Prefix && path.starts_with(&pass.location);
        let longest = of_server.iter().filter(fits).map(|pass| pass.location.len()).max();
        let may_fit = |pass: &&Pass| match pass.location_kind {
            LocationKind::Prefix => Some(pass.location.len()) == longest && path.starts_with(&pass.location),
            LocationKind::Regex => true,
            LocationKind::Exact => false,
        };
        of_server.into_iter().filter(may_fit).collect()
    }

    /// The `upstream` block of a pass; `None` where it names an address itself.
    pub fn block_of(&self, pass: &Pass) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.name == pass.address)
    }

    /// The addresses of a pass; none where they depend on variables.
    pub fn servers_of<'a>(&'a self, pass: &'a Pass) -> Vec<&'a str> {
        match self.block_of(pass) {
            Some(block) => block.servers.iter().map(String::as_str).collect(),
            None if pass.address.contains('$') => Vec::new(),
            None => vec![&pass.address],
        }
    }

    /// The one address that a name or an unknown peer can stand for among these passes.
    pub fn only_server_of<'a>(&'a self, passes: &[&'a Pass]) -> Option<&'a str> {
        let mut servers = passes.iter().flat_map(|pass| match self.servers_of(pass) {
            // Variables: it may be any.
            servers if servers.is_empty() => vec![None],
            servers => servers.into_iter().map(Some).collect(),
        });
        let first = servers.next()??;
        servers.all(|server| server == Some(first)).then_some(first)
    }

    /// True when nginx is told to try one of these addresses for other requests than those that go to `upstream`.
    pub fn is_of_another_upstream(&self, listening: &[String], upstream: &str) -> bool {
        let addresses = self.addresses();
        let fits = |address: &str| listening.iter().any(|bound| compare(address, bound) == AddressMatch::Yes);
        addresses.iter().any(|address| compare(address, upstream) == AddressMatch::Yes)
            && addresses.iter().any(|address| compare(address, upstream) != AddressMatch::Yes && fits(address))
    }
}

impl Pass {
    fn takes_any_name(&self) -> bool {
        self.server_names.iter().all(|name| matches!(name.as_str(), "" | "_"))
    }

    /// `/api of shop.test`: where it stands, for people.
    pub fn place(&self) -> String {
        let location = if self.location.is_empty() { "the server" } else { &self.location };
        match self.server_names.first().filter(|_| !self.takes_any_name()) {
            Some(name) => format!("{location} of {name}"),
            None => location.to_owned(),
        }
    }
}

/// `server_name` against a host: the same, `*.example.com`, `.example.com`, `www.example.*`. Regular expressions fit none.
fn is_named(name: &str, host: &str) -> bool {
    let host = host.split(':').next().unwrap_or_default();
    let ends = |tail: &str| host.len() > tail.len() && host.to_ascii_lowercase().ends_with(&tail.to_ascii_lowercase());
    if let Some(tail) = name.strip_prefix('*').filter(|tail| tail.starts_with('.')) {
        return ends(tail);
    }
    if name.starts_with('.') {
        return ends(name) || name.get(1..).is_some_and(|name| name.eq_ignore_ascii_case(host));
    }
    if let Some(head) = name.strip_suffix(".*") {
        return host.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head))
            && host.get(head.len()..).is_some_and(|rest| rest.starts_with('.'));
    }
    !name.is_empty() && name.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> NginxConf {
        NginxConf::read("n.conf", text, &mut |_| Ok(Vec::new()))
    }

    #[test]
    fn a_request_goes_where_nginx_would_send_it() {
        let conf = conf(
            r"upstream app { server 127.0.0.1:8000; server 127.0.0.1:8001; }
              server { server_name shop.test *.shop.test;
                location / { proxy_pass http://app; }
                location /api/ { proxy_pass http://127.0.0.1:9000; }
                location = /api/health { proxy_pass http://127.0.0.1:9001; } }
              server { server_name php.test; location / { proxy_pass http://10.0.0.1; }
                location ~ \.php$ { fastcgi_pass unix:/run/php.sock; } }
              server { location / { proxy_pass http://$backend; } }",
        );
        let check = |host: Option<&str>, target: &str, expected: &[&str]| {
            let passes = conf.passes_for(host, target);
            let found: Vec<&str> = passes.iter().map(|pass| pass.address.as_str()).collect();
            assert_eq!(found, expected, "{host:?} {target}");
        };
        check(Some("shop.test"), "/cart?a=/api/", &["app"]);
        check(Some("www.shop.test:8080"), "/api/items", &["127.0.0.1:9000"]);
        check(Some("SHOP.test"), "/api/health?x", &["127.0.0.1:9001"]);
        check(Some("php.test"), "/a.php", &["10.0.0.1:80", "unix:/run/php.sock"]);
        check(Some("other.test"), "/", &["$backend"]);
        check(None, "/", &["$backend"]);
        assert_eq!(conf.only_server_of(&conf.passes_for(Some("shop.test"), "/")), None, "two servers");
        assert_eq!(conf.only_server_of(&conf.passes_for(Some("shop.test"), "/api/x")), Some("127.0.0.1:9000"));
        assert_eq!(conf.only_server_of(&conf.passes_for(None, "/")), None, "a variable");
        assert_eq!(conf.only_server_of(&[]), None);
    }

    #[test]
    fn names_of_servers() {
        for (name, host, expected) in [
            ("shop.test", "shop.test", true),
            ("shop.test", "www.shop.test", false),
            ("*.shop.test", "www.shop.test", true),
            ("*.shop.test", "shop.test", false),
            (".shop.test", "shop.test", true),
            (".shop.test", "a.b.shop.test", true),
            ("www.shop.*", "www.shop.co.uk", true),
            ("www.shop.*", "www.shopper.test", false),
            ("", "", false),
            ("~^shop", "shop.test", false),
        ] {
            assert_eq!(is_named(name, host), expected, "{name} {host}");
        }
    }

    #[test]
    fn a_gunicorn_that_another_upstream_names() {
        let conf = conf(
            "upstream a { server 127.0.0.1:8000; } upstream b { server unix:/run/b.sock; }
             server { location / { proxy_pass http://a; } location /b { proxy_pass http://b; } }",
        );
        let check = |listening: &str, upstream: &str| conf.is_of_another_upstream(&[listening.to_owned()], upstream);
        assert!(check("127.0.0.1:8000", "unix:/run/b.sock"));
        assert!(check("unix:/var/run/b.sock", "127.0.0.1:8000"));
        assert!(!check("127.0.0.1:8000", "127.0.0.1:8000"));
        assert!(!check("127.0.0.1:8010", "127.0.0.1:8000"), "no upstream names it");
        assert!(!check("127.0.0.1:8000", "127.0.0.1:9000"), "a peer of another configuration");
    }
}
