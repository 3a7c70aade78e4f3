//! Benchmarks: the same [`workload`]s on Estafette's runtime and on peers, measured alike.
//!
//! What is compared is the CPU time that the *server* process spends, read from the kernel, so a
//! busy machine or a slow driver changes throughput and latency but hardly the figure that counts.
//! The driver runs beside the server on the same cores and is therefore kept cheap: one task a
//! connection, stanzas and frames built from prepared parts, no parsing beyond what is answered.

mod connections;
pub mod ejabberd;
pub mod estafette;
pub mod measure;
pub mod media;
pub mod nginx;
pub mod process;
pub mod report;
pub mod target;
pub mod texts;
pub mod workload;
