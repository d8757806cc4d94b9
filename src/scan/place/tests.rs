use super::*;
use crate::otlp::{Attribute, NewRecord, Request, RequestWriter, Surroundings, Value, resource, scope};

/// The place of one record of a resource.
fn place(sites: &Sites, of_resource: &[(&'static str, &str)], of_record: &[(&'static str, &str)], path: &str) -> Place {
    let attributes = |pairs: &[(&'static str, &str)]| {
        pairs.iter().map(|(key, value)| Attribute::new(*key, *value)).collect::<Vec<_>>()
    };
    let mut writer = RequestWriter::new();
    let record = NewRecord { body: "x", attributes: &attributes(of_record), ..NewRecord::default() }.encode();
    writer.push(&Surroundings::new(&resource(&attributes(of_resource)), &scope("", "")), &record);
    let request = writer.finish();
    let group = Request::new(&request).resources().next().expect("a group");
    let item = Request::new(&request).items().next().expect("a record");
    sites.of_record(group.attributes(), &item.log_record(), path.as_bytes())
}

fn usual(of_resource: &[(&'static str, &str)], of_record: &[(&'static str, &str)], path: &str) -> Place {
    place(&Sites::default(), of_resource, of_record, path)
}

const POD: [(&str, &str); 3] =
    [("k8s.namespace.name", "shop"), ("k8s.pod.name", "web-6d4b75cb6d-x7k2p"), ("k8s.pod.ip", "10.1.2.3")];
const ID: &str = "4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn one_pod_however_it_is_told() {
    let by_resource = usual(&POD, &[], "");
    assert_eq!(by_resource.machine, Machine::Pod);
    let by_record = [
        ("kubernetes.namespace_name", "shop"),
        ("kubernetes.pod_name", "web-6d4b75cb6d-x7k2p"),
        ("kubernetes.host", "node-1"),
    ];
    let told = [
        usual(&[], &by_record, ""),
        usual(&[("host.name", "node-1")], &by_record, ""),
        usual(&[], &[], "/var/log/pods/shop_web-6d4b75cb6d-x7k2p_0b8c5e0e/nginx/0.log"),
        usual(
            &[("host.name", "node-1")],
            &[],
            &format!("/var/log/containers/web-6d4b75cb6d-x7k2p_shop_nginx-{ID}.log"),
        ),
        usual(&[("kube_namespace", "shop"), ("pod_name", "web-6d4b75cb6d-x7k2p"), ("host.name", "node-1")], &[], ""),
        usual(&[("service.name", "nginx"), POD[0], POD[1]], &[], ""),
    ];
    for (number, place) in told.iter().enumerate() {
        assert_eq!((place.site, place.service), (by_resource.site, by_resource.service), "{number}");
        assert_eq!(place.machine, Machine::Pod, "{number}");
    }
    assert_eq!(told[0].host, told[1].host);
    assert_eq!(told[1].host, told[3].host, "a node has one name");
}

#[test]
fn names_by_which_a_pod_is_reached() {
    let pod = usual(&POD, &[("host.name", "node-1")], "");
    assert_eq!(pod.names, ["10.1.2.3", "web-6d4b75cb6d-x7k2p", "web.shop", "web"]);
    let node = usual(&[("host.name", "Node-1"), ("host.ip", "10.0.0.1")], &[], "");
    assert_eq!(node.names, ["node-1", "10.0.0.1"]);
}

#[test]
fn replicas_share_their_service_and_not_their_site() {
    let (first, second) = (usual(&POD, &[], ""), usual(&[POD[0], ("k8s.pod.name", "web-6d4b75cb6d-9zzzz")], &[], ""));
    assert_eq!(first.service, second.service);
    assert_ne!(first.site, second.site);
    let named = usual(&[POD[0], POD[1], ("k8s.deployment.name", "web")], &[], "");
    assert_eq!(first.service, named.service, "its name without its suffixes is that of its deployment");
    assert_ne!(first.service, usual(&[("k8s.namespace.name", "test"), POD[1]], &[], "").service, "another namespace");
}

#[test]
fn suffixes_of_controllers() {
    for (pod, expected) in [
        ("web-6d4b75cb6d-x7k2p", "web"),
        ("web-x7k2p", "web"),
        ("db-0", "db"),
        ("my-web-server-x7k2p", "my-web-server"),
        ("web", "web"),
        ("shop-nginx", "shop-nginx"),
        ("-x7k2p", "-x7k2p"),
        ("ingress-nginx-controller-7d5fb757db-bbbbb", "ingress-nginx-controller"),
    ] {
        assert_eq!(without_suffixes(pod), expected);
    }
}

#[test]
fn services_of_one_host_are_one_site() {
    let of = |service: &'static str| usual(&[("host.name", "web-1"), ("service.name", service)], &[], "/x.log");
    let (nginx, shop) = (of("nginx"), of("shop"));
    assert_eq!((nginx.site, nginx.machine), (shop.site, Machine::Host));
    assert_ne!(nginx.service, shop.service);
    assert_eq!(shop.service_name, usual(&[("service.name", "Shop")], &[], "").service_name);
    let unknown = usual(&[("service.name", "shop")], &[], "");
    assert_eq!(unknown.machine, Machine::Unknown);
    assert_ne!(unknown.site, 0);
    assert_eq!(usual(&[], &[], "/var/log/nginx/access.log").site, 0, "nothing names one");
}

#[test]
fn containers() {
    let by_id = usual(&[("container.id", ID), ("host.name", "web-1"), ("container.name", "/shop-1")], &[], "");
    assert_eq!(by_id.machine, Machine::Container);
    assert!(by_id.names.contains(&"shop-1".to_owned()) && by_id.names.contains(&"4bf92f3577b3".to_owned()));
    let by_path = usual(&[("host.name", "web-1")], &[], &format!("/var/lib/docker/containers/{ID}/{ID}-json.log"));
    assert_eq!((by_id.site, by_id.host), (by_path.site, by_path.host));
    // An SDK in a container takes the container's id for the name of its host.
    let sdk = usual(&[("host.name", "4bf92f3577b3"), ("service.name", "shop")], &[], "");
    assert!(sdk.names.contains(&"4bf92f3577b3".to_owned()));
    let compose = usual(
        &[("container.id", ID), ("com.docker.compose.service", "shop"), ("com.docker.compose.project", "p")],
        &[],
        "",
    );
    assert!(compose.names.contains(&"shop".to_owned()));
    assert_ne!(compose.namespace, 0);
}

#[test]
fn keys_and_rules_are_settings() {
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let rules = vec![
        Rule { nginx: pair("host.name", "edge-1"), server: pair("service.name", "shop") },
        Rule { nginx: pair("host.name", "edge-1"), server: pair("service.name", "blog") },
    ];
    let sites = Sites::new(vec![split_key("cloud.region + service.name")], rules);
    let edge = place(&sites, &[("host.name", "edge-1"), ("service.name", "nginx")], &[], "");
    assert_eq!((edge.site, edge.nginx_of, edge.server_of), (0, 0b11, 0));
    let blog = place(&sites, &[("cloud.region", "eu"), ("service.name", "blog")], &[], "");
    assert_eq!((blog.nginx_of, blog.server_of), (0, 0b10));
    assert_ne!(blog.site, 0);
}

#[test]
fn names_are_bounded() {
    let long = "a".repeat(254);
    assert!(usual(&[("host.name", &long)], &[], "").names.is_empty());
    let addresses = Value::Strings((0..100).map(|number| format!("10.0.0.{number}")).collect());
    let attributes = resource(&[Attribute::new("host.ip", addresses)]);
    let mut writer = RequestWriter::new();
    writer.push(&Surroundings::new(&attributes, &scope("", "")), &NewRecord::default().encode());
    let request = writer.finish();
    let group = Request::new(&request).resources().next().expect("a group");
    assert_eq!(Sites::default().of_resource(group.attributes()).names.len(), NAMES_MAX);
}
