//! Tells the operator of a front which files of its spool are set aside.
//!
//! Invariant: the front stays ready, because the other registrations go on. Its `/readyz` names the
//! files for as long as they are there, and so does its alert.

use tokio_util::sync::CancellationToken;

use crate::admin::Warning;
use crate::front::spool::Spool;

pub(crate) async fn watch(spool: Spool, warning: Warning, stop: CancellationToken) {
    let watching = async {
        loop {
            match spool.set_aside_notice().await {
                Some(notice) => warning.raise(&notice),
                None => warning.clear(),
            }
            spool.notice_may_change().await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stop.cancelled() => {}
    }
}
