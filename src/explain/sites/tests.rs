use super::*;
use crate::otlp::{Attribute, NewRecord, Request, RequestWriter, Surroundings, resource, scope};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER_ID: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

/// Files as `path format...`, `e` and `a` being nginx's error and access log, `j` one in JSON, and `=name` a container
/// that lines name (`@name` a host). The sites come out as files by letter, `-` being the place that nothing is known of.
fn sites(files: &[&str]) -> String {
    let mut streams = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let mut words = file.split(' ');
        let mut seen = Seen { path: words.next().filter(|path| *path != "-").map(str::to_owned), ..Seen::default() };
        for word in words {
            let origin = |machine, name: &str| Origin { machine, name: name.to_owned() };
            match word.split_at(1) {
                ("e", _) => _ = seen.nginx.insert(Format::NginxError),
                ("a", _) => _ = seen.nginx.insert(Format::NginxAccess),
                ("j", _) => _ = seen.nginx.insert(Format::NginxAccessJson),
                ("=", name) => _ = seen.origins.insert(origin(Machine::Container, name)),
                ("@", name) => _ = seen.origins.insert(origin(Machine::Host, name)),
                _ => panic!("{word}"),
            }
        }
        streams.insert(index as u64, seen);
    }
    let sites = Sites::of(&streams);
    if sites.are_by_origin() {
        return "by origin".to_owned();
    }
    let mut letters: BTreeMap<u64, char> = BTreeMap::from([(0, '-')]);
    let mut text = String::new();
    for id in streams.keys() {
        let site = sites.stream(*id).place.site;
        let next = char::from(b'a' + u8::try_from(letters.len() - 1).expect("few sites"));
        text.push(*letters.entry(site).or_insert(next));
    }
    text
}

#[test]
fn folders() {
    for (files, expected) in [
        // One host.
        (&["/var/log/nginx/error.log e", "/var/log/gunicorn/error.log"][..], "--"),
        (&["/var/log/nginx/error.log e", "/var/log/nginx/access.log a"], "--"),
        (&["error.log e", "access.log a", "gunicorn.log"], "---"),
        (&["nginx/vhost-a/access.log a", "nginx/vhost-b/access.log a", "nginx/error.log e"], "---"),
        (&["nginx/error.log e", "web/access.log a"], "--"),
        // Two.
        (&["web-1/access.log a", "web-2/access.log a"], "ab"),
        (&["web-1/access.log a", "web-1/gunicorn.log", "web-2/access.log a", "web-2/app/gunicorn.log"], "aabb"),
        (&["l/web-1/nginx/error.log e", "l/web-2/nginx/error.log e", "l/web-2/gunicorn.log", "l/app/g.log"], "abb-"),
        (&["./web-1/error.log e", "./web-2/error.log e", "./web-2/access.log a"], "abb"),
        (&["/web-1/error.log e", "/web-2/error.log e", "/web-3/error.log e", "/kern.log"], "abc-"),
        // An access log is one in whatever format.
        (&["web-1/access.log a", "web-2/access.log j"], "ab"),
        // Not the same log.
        (&["web-1/access.log a", "web-2/other.log a"], "--"),
        (&["web-1/access.log a", "web-2/access.log a", "web-3/error.log e"], "---"),
        // An nginx outside.
        (&["web-1/access.log a", "web-2/access.log a", "error.log e"], "---"),
        (&["web-1/access.log a", "web-2/access.log a", "- e"], "---"),
        (&["web-1/access.log a", "web-2/access.log a", "-"], "ab-"),
        (&["-"], "-"),
        (&[], ""),
    ] {
        assert_eq!(sites(files), expected, "{files:?}");
    }
}

#[test]
fn paths_of_pods_and_containers() {
    let uid = "7f0d5c1e-93a4-4a61-8f04-0a6c1b0f7c11";
    let pod = |pod: &str, container: &str| format!("/var/log/pods/shop_{pod}_{uid}/{container}/0.log e");
    let (one, same, other) =
        (pod("web-7d4b9c6f5d-x2x8k", "nginx"), pod("web-7d4b9c6f5d-x2x8k", "app"), pod("web-7d4b9c6f5d-b4zq9", "app"));
    let link = format!("/var/log/containers/web-7d4b9c6f5d-x2x8k_shop_app-{ID}.log");
    let docker = |id: &str| format!("/var/lib/docker/containers/{id}/{id}-json.log");
    for (files, expected) in [
        (vec![one.clone(), same.clone()], "--"),
        (vec![one.clone(), other.clone()], "ab"),
        (vec![one.clone(), same, other.clone(), "/var/log/kern.log".to_owned()], "aab-"),
        (vec![one.clone(), link.clone(), other], "aab"),
        (vec![link, "/var/log/nginx/error.log e".to_owned()], "--"),
        (vec![docker(ID), docker(OTHER_ID)], "ab"),
        (vec![docker(ID), format!("/var/lib/docker/containers/{ID}/{OTHER_ID}-json.log")], "--"),
        (vec!["/srv/pods/a_b/c/0.log e".to_owned(), "/srv/pods/a_b_c/d/0.log e".to_owned()], "--"),
    ] {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        assert_eq!(sites(&files), expected, "{files:?}");
    }
    let docker = of_path(&docker(ID)).expect("a container");
    assert_eq!((docker.machine, docker.host), (Machine::Container, hash64(b"/var/lib/docker")));
}

/// A span of the same place finds it.
#[test]
fn places_of_files_are_those_of_resources() {
    let of = |key: &'static str, value: &str| {
        let mut writer = RequestWriter::new();
        let record = NewRecord { body: "x", ..NewRecord::default() }.encode();
        writer.push(&Surroundings::new(&resource(&[Attribute::new(key, value)]), &scope("", "")), &record);
        let request = writer.finish();
        let group = Request::new(&request).resources().next().expect("a group");
        place::Sites::default().of_resource(group.attributes()).site
    };
    let seen = |path: &str| Seen {
        path: Some(path.to_owned()),
        nginx: BTreeSet::from([Format::NginxError]),
        ..Seen::default()
    };
    let folders = BTreeMap::from([(1, seen("l/web-1/error.log")), (2, seen("l/web-2/error.log"))]);
    assert_eq!(Sites::of(&folders).stream(2).place.site, of("host.name", "web-2"));
    let host = Origin { machine: Machine::Host, name: "web-2".to_owned() };
    assert_eq!(Sites::default().stream_of(1, &host).place.site, of("host.name", "web-2"));
}

#[test]
fn names_in_lines() {
    for (files, expected) in [
        (&["all.log e =nginx-1 =web-1"][..], "by origin"),
        (&["nginx.log e =nginx-1", "web.log =web-1"], "by origin"),
        (&["nginx.log e @a", "web.log @b"], "by origin"),
        // A container on its host, and one alone.
        (&["nginx.log e =nginx-1", "kern.log @a"], "--"),
        (&["all.log e =nginx-1"], "-"),
        (&["all.log e @a", "g.log @a"], "--"),
    ] {
        assert_eq!(sites(files), expected, "{files:?}");
    }
}

#[test]
fn places_of_names() {
    let sites = Sites { by_origin: true, host: Some("Node".to_owned()), ..Sites::default() };
    let web = Origin { machine: Machine::Container, name: "Web-1".to_owned() };
    let stream = sites.stream_of(7, &web);
    assert_eq!(stream, sites.stream_of(7, &web));
    assert_eq!(stream.place.names, ["web-1", "web"]);
    assert_eq!(stream.place.host, hash64(b"node"));
    let other = sites.stream_of(8, &web);
    assert!(stream.place == other.place && stream.id != other.id, "another file of the same container");
    let host = sites.stream_of(7, &Origin { machine: Machine::Host, name: "node".to_owned() });
    assert_eq!((host.place.machine, host.place.host), (Machine::Host, stream.place.host));
    assert_ne!(host.place.site, stream.place.site);
}

#[test]
fn kinds_of_names() {
    for (record, expected) in [
        ("web-1  | [2026-03-04 09:00:00 +0000] [7] [INFO] x", Some((Machine::Container, "web-1"))),
        ("[pod/web-7d4b9c6f5d-x2x8k/nginx] x", Some((Machine::Pod, "web-7d4b9c6f5d-x2x8k"))),
        ("Mar  4 09:00:00 box gunicorn[7]: x", Some((Machine::Host, "box"))),
        (r#"{"log":"x","container":"web"}"#, Some((Machine::Container, "web"))),
        (r#"{"log":"x","pod":"web-0"}"#, Some((Machine::Pod, "web-0"))),
        (r#"{"MESSAGE":"x","_HOSTNAME":"box"}"#, Some((Machine::Host, "box"))),
        (r#"{"MESSAGE":"x","_SYSTEMD_UNIT":"nginx.service"}"#, None),
        ("x", None),
    ] {
        let found = Origin::of_line(record.as_bytes());
        assert_eq!(found.as_ref().map(|origin| (origin.machine, origin.name.as_str())), expected, "{record}");
    }
}
