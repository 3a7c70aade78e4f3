//! The native client of Estafette: one device of an account, in a Rust program.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let profile = estafette::Profile::open("/home/alice/.local/share/estafette/default")?;
//! let mut client = estafette::connect(profile).await?;
//! client.send(estafette::read_number("+33 6 12 34 56 78")?, "hi").await?;
//! while let Some(event) = client.next().await {
//!     if let estafette::Event::Received(message) = event {
//!         match message.content() {
//!             Ok(estafette::Content::Text(text)) => println!("{}: {text}", message.peer),
//!             Ok(estafette::Content::Media(media)) => {
//!                 let here = estafette::Destination::Directory(".".into());
//!                 client.fetch_file(&media, here, estafette::unseen()).await?;
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A client is one task on the tokio runtime it is made on, so that thousands share a process. It
//! stays connected, sends what waits, keeps its store, and renews its token. [`Handle::send_file`] and
//! [`Handle::fetch_file`] move files, and go on where they were stopped. The decisions are
//! [`estafette_core`]'s. [`Profile::register`] and [`Profile::link`] make a device and [`Server`] speaks HTTP.

mod book;
mod client;
mod driver;
mod error;
mod files;
mod known;
mod linking;
mod number;
mod picture;
mod profile;
mod server;
mod socket;
mod transfer;
mod url;

pub use book::{Book, read_book};
pub use client::{Client, Handle, connect, connect_with, publish_keys};
pub use error::{Error, ProfileError};
pub use estafette_core::media::safe_file_name;
pub use estafette_core::mls::AccountSecret;
pub use estafette_core::{
    About, Chat, ClientError, Config, Contact, Content, ContentError, Event, KnownProfile, Media,
    Message, Moved, Pending, Picture, PinError, PinKey, Safety, Secrets, Sharing, Status, Store,
    StoreError, StoreKey, Unopened,
};
pub use estafette_protocol::http::Profile as UserProfile;
pub use estafette_protocol::http::{
    Attribute, Audience, CodeSent, Device, Devices, Health, Known, Link, Motd, People, Person,
    Privacy, Problem, ReportReason, ReportRequest, ReportedMessage, Usage,
};
pub use estafette_protocol::limits;
pub use estafette_protocol::{
    Activity, DeviceId, ErrorCode, MediaId, MessageId, Millis, NumberError, PhoneNumber,
};
pub use linking::Linking;
pub use number::read_number;
pub use profile::{Moving, Profile};
pub use server::{Account, Proof, Server};
pub use transfer::{
    Destination, FileToSend, Progress, Report, Stage, Unfinished, Uploaded, unseen,
};
pub use url::{ChatUrl, LinkUrl, UrlError};
