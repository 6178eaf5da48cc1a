//! Addresses can be bound once, certificates shown once, and not everybody is trusted.

use super::Unique;
use crate::located::found::Found;
use crate::located::tree::Node;
use crate::server::{Admin, Server};

pub(super) fn check(server: &Server, root: &Node<'_>, found: &mut Found) {
    let Some(node) = root.get("server") else {
        // Nothing is written about the server, and its defaults agree with each other.
        return;
    };
    listeners(server, node, found);
    certificates(server, node, found);
    admin(server, node, found);
    clients(server, node, found);
    overload(server, node, found);
}

fn listeners(server: &Server, node: &Node<'_>, found: &mut Found) {
    let mut addresses = Unique::new();
    let listeners = node.get("listen").into_iter().flat_map(Node::items);
    for (listener, node) in server.listen.iter().zip(listeners) {
        let mark = node
            .get("address")
            .map_or(node.mark, |address| address.mark);
        // Port 0 asks the system for any free port, so that two of them do not meet.
        if listener.address.port() == 0 {
            continue;
        }
        if let Some(line) = addresses.earlier(listener.address, mark) {
            let message = format!(
                "`{}` is taken by the listener on line {line}",
                listener.address
            );
            found.at(mark, message, None);
        }
    }
}

/// Who is believed on where a connection comes from.
fn clients(server: &Server, node: &Node<'_>, found: &mut Found) {
    let clients = node.get("clients");
    let proxies = clients.and_then(|clients| clients.get("trusted_proxies"));
    let written = proxies.into_iter().flat_map(Node::items);
    for (proxy, node) in server.clients.trusted_proxies.iter().zip(written) {
        if proxy.network().prefix_len() == 0 {
            let message = format!("`{proxy}` is everybody, who could then name any address");
            let hint = "write the networks of your own proxies";
            found.at(node.mark, message, Some(hint.to_owned()));
        }
    }
    let is_known = !node.has_dropped("clients")
        && !clients.is_some_and(|clients| clients.has_dropped("trusted_proxies"));
    if !server.clients.trusted_proxies.is_empty() || !is_known {
        return;
    }
    let listeners = node.get("listen").into_iter().flat_map(Node::items);
    for (listener, node) in server.listen.iter().zip(listeners) {
        if listener.proxy_protocol.is_some() {
            let mark = node
                .get("proxy_protocol")
                .map_or(node.mark, |node| node.mark);
            let message = "nobody's word is taken, since `server.clients.trusted_proxies` is empty";
            let hint = "write the networks of the proxies that connect here";
            found.at(mark, message.to_owned(), Some(hint.to_owned()));
        }
    }
}

/// Requests are refused before connections are.
fn overload(server: &Server, node: &Node<'_>, found: &mut Found) {
    let written = &server.overload;
    let Some(node) = node.get("overload") else {
        return;
    };
    if written.shed_at < written.pause_at
        || node.has_dropped("shed_at")
        || node.has_dropped("pause_at")
    {
        return;
    }
    let mark = node
        .get("pause_at")
        .or(node.get("shed_at"))
        .map_or(node.mark, |node| node.mark);
    let message = format!(
        "connections are to wait from {} % on, and requests to be refused from {} %",
        written.pause_at, written.shed_at
    );
    let hint = "write a `pause_at` that is more than `shed_at`";
    found.at(mark, message, Some(hint.to_owned()));
}

/// A certificate that stands twice would be used once.
fn certificates(server: &Server, node: &Node<'_>, found: &mut Found) {
    let listeners = node.get("listen").into_iter().flat_map(Node::items);
    for (listener, node) in server.listen.iter().zip(listeners) {
        let (Some(tls), Some(node)) = (&listener.tls, node.get("tls")) else {
            continue;
        };
        let first = node.get("certificate").into_iter();
        let listed = node.get("certificates").into_iter().flat_map(Node::items);
        let nodes = first.chain(listed.filter_map(|node| node.get("certificate")));
        let mut files = Unique::new();
        for (written, node) in tls.certificates.iter().zip(nodes) {
            let file = &written.certificate;
            if let Some(line) = files.earlier(file, node.mark) {
                let message = format!(
                    "`{}` is a certificate of this listener on line {line} already",
                    file.display()
                );
                found.at(node.mark, message, None);
            }
        }
    }
}

fn admin(server: &Server, node: &Node<'_>, found: &mut Found) {
    let Admin::On(address) = server.admin else {
        return;
    };
    if address.port() == 0 || node.has_dropped("admin") || node.has_dropped("listen") {
        return;
    }
    let Some(index) = server
        .listen
        .iter()
        .position(|listener| listener.address == address)
    else {
        return;
    };
    let listener = node
        .get("listen")
        .and_then(|listen| listen.items().nth(index));
    let (mark, message) = match (node.get("admin"), listener) {
        (Some(admin), Some(listener)) => (
            admin.mark,
            format!(
                "`{address}` is taken by the listener on line {}",
                listener.mark.line()
            ),
        ),
        (Some(admin), None) => (
            admin.mark,
            format!("`{address}` is the address that is listened on when `listen` is not set"),
        ),
        (None, Some(listener)) => {
            let mark = listener
                .get("address")
                .map_or(listener.mark, |node| node.mark);
            (
                mark,
                format!("`{address}` is the admin listener's address when `admin` is not set"),
            )
        }
        (None, None) => return,
    };
    found.at(
        mark,
        message,
        Some("give one of them another port, or write `admin: off`".to_owned()),
    );
}
