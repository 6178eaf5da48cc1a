//! A thread for what no request waits for: fetches of key sets, checks of endpoints, and
//! lookups of their names.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::task::LocalSet;

use crate::live::Live;
use crate::{health_checks, key_sets, names};

/// Does what is due until the server is gone.
///
/// # Errors
/// There can be no more threads.
pub fn start(live: &Arc<Live>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let live = Arc::downgrade(live);
    let work = move || {
        let look = async {
            tokio::join!(
                key_sets::look(live.clone()),
                health_checks::look(live.clone()),
                names::look(live.clone())
            );
        };
        LocalSet::new().block_on(&runtime, look);
    };
    thread::Builder::new()
        .name("background".into())
        .spawn(work)?;
    Ok(())
}
