//! Who is called next, and who may not wait.

use futures::future::FutureExt;

use super::*;

fn overload(change: impl FnOnce(&mut server::Overload)) -> Arc<Overload> {
    let mut written = server::Overload {
        concurrency: Some(10),
        reserved: 20,
        ..server::Overload::default()
    };
    change(&mut written);
    Arc::new(Overload::new(&written))
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
}

fn open(overload: &Arc<Overload>, class: Priority) -> Admitted {
    match overload.admit(class, || "t".into()) {
        Ok(super::super::Entrance::Open(admitted)) => admitted,
        Ok(_) => panic!("it has to wait"),
        Err(why) => panic!("{why:?}"),
    }
}

fn wait(overload: &Arc<Overload>, class: Priority, tenant: &str) -> Box<Waiting> {
    match overload.admit(class, || tenant.into()) {
        Ok(super::super::Entrance::Wait(waiting)) => waiting,
        Ok(_) => panic!("{tenant} is let through"),
        Err(why) => panic!("{why:?}"),
    }
}

/// Those who are called when one after the other ends, by their places in the list.
fn called(waiting: &mut [Option<Box<Waiting>>], mut ending: Vec<Admitted>) -> Vec<usize> {
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut order = Vec::new();
    while order.len() < waiting.len() {
        let Some(admitted) = ending.pop() else { break };
        drop(admitted);
        for (place, waits) in waiting.iter_mut().enumerate() {
            let turn = waits.as_mut().and_then(|waits| waits.turn().now_or_never());
            if let Some(admitted) = turn {
                order.push(place);
                ending.insert(0, admitted.unwrap());
                *waits = None;
            }
        }
    }
    order
}

#[test]
fn a_share_is_kept_for_the_highest_class() {
    let overload = overload(|_| {});
    let ordinary: Vec<_> = (0..8).map(|_| open(&overload, Priority::Normal)).collect();
    let low = wait(&overload, Priority::Low, "a");
    drop(low);
    assert_eq!(overload.waiting(), [0; 3], "who leaves frees the place");
    let high: Vec<_> = (0..2).map(|_| open(&overload, Priority::High)).collect();
    let waiting = wait(&overload, Priority::High, "a");
    drop((ordinary, high, waiting));
    assert_eq!(
        overload.under_way().requests,
        0,
        "nobody who left was let through"
    );
    open(&overload, Priority::Low);
}

#[test]
fn classes_go_in_their_order_and_tenants_in_turn() {
    let overload = overload(|written| written.reserved = 0);
    let under_way: Vec<_> = (0..10).map(|_| open(&overload, Priority::Normal)).collect();
    let mut waiting: Vec<_> = [
        (Priority::Low, "a"),
        (Priority::Normal, "a"),
        (Priority::Normal, "a"),
        (Priority::Normal, "a"),
        (Priority::Normal, "b"),
        (Priority::High, "c"),
        (Priority::Normal, "b"),
        (Priority::Normal, "c"),
    ]
    .map(|(class, tenant)| Some(wait(&overload, class, tenant)))
    .into();
    assert_eq!(overload.waiting(), [1, 6, 1]);
    let order = called(&mut waiting, under_way);
    assert_eq!(order, [5, 1, 4, 7, 2, 6, 3, 0]);
    assert_eq!(overload.waiting(), [0; 3]);
}

#[test]
fn so_many_wait_in_a_class_and_of_a_tenant() {
    let overload = overload(|written| {
        written.concurrency = Some(1);
        written.queue.length = 3;
        written.queue.per_tenant = 2;
    });
    let _only = open(&overload, Priority::Normal);
    let refused = |class, tenant: &str| {
        let entrance = overload.admit(class, || tenant.into());
        entrance.map(drop).unwrap_err()
    };
    let _first = wait(&overload, Priority::Normal, "a");
    let second = wait(&overload, Priority::Normal, "a");
    assert_eq!(refused(Priority::Normal, "a"), Shed::QueueOfTenant);
    let _third = wait(&overload, Priority::Normal, "b");
    assert_eq!(refused(Priority::Normal, "c"), Shed::QueueFull);
    let _other = wait(&overload, Priority::High, "a");
    drop(second);
    let _again = wait(&overload, Priority::Normal, "c");
}

#[test]
fn a_wait_has_an_end() {
    let overload = overload(|written| {
        written.concurrency = Some(1);
        written.queue.timeout = "1ms".parse().unwrap();
    });
    let only = open(&overload, Priority::Normal);
    let mut late = wait(&overload, Priority::Normal, "a");
    let turn = runtime().block_on(async { late.turn().await.map(drop) });
    assert_eq!(turn, Err(Shed::QueueTimeout));
    drop(late);
    drop(only);
    assert_eq!(overload.under_way().requests, 0);
}

#[test]
fn nobody_is_forgotten_when_many_come_and_go_at_once() {
    let overload = overload(|written| {
        written.concurrency = Some(2);
        written.queue.timeout = "60s".parse().unwrap();
    });
    let come_and_go = || {
        for n in 0..2000 {
            let admitted = match overload.admit(Priority::Normal, || "t".into()).unwrap() {
                super::super::Entrance::Open(admitted) => admitted,
                super::super::Entrance::Wait(mut waiting) if n % 7 != 0 => {
                    runtime().block_on(async { waiting.turn().await.unwrap() })
                }
                // Leaves without waiting.
                super::super::Entrance::Wait(_) => continue,
            };
            assert!(overload.under_way().requests <= 2);
            drop(admitted);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(come_and_go);
        }
    });
    assert_eq!(overload.under_way().requests, 0);
    assert_eq!(overload.waiting(), [0; 3]);
    let queue = overload.queue.as_ref().unwrap();
    assert!(
        queue.is_empty()
            && queue
                .lines
                .lock()
                .classes
                .iter()
                .all(|line| line.turns.is_empty())
    );
}
