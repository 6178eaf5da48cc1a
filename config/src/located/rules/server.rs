//! Addresses can be bound once.

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
    admin(server, node, found);
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
                listener.mark.line
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
