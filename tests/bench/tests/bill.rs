//! Fails when a message costs more than it may. The limits are in `estafette::bill`.
#![allow(missing_docs)]

use std::sync::Arc;

use estafette_bench::estafette::bill;
use estafette_bench::texts::Texts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_costs_more_than_it_may() -> anyhow::Result<()> {
    let texts = Arc::new(Texts::load(None)?);
    let mut limited = 0;
    let mut over = Vec::new();
    for (path, measured) in bill::run(&texts).await? {
        for figure in measured.figures {
            limited += usize::from(figure.limit.is_some());
            if figure.is_over() {
                over.push((path, figure));
            }
        }
    }
    assert_eq!(limited, 34, "a limit has gone");
    assert!(over.is_empty(), "over their limits: {over:#?}");
    Ok(())
}
