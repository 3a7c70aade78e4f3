//! The servers that can be measured, behind one set of verbs.

use std::path::PathBuf;
use std::sync::Arc;

use estafette_testkit::Options;

use crate::ejabberd::{self, Ejabberd};
use crate::estafette::{self, Estafette};
use crate::measure::Measurement;
use crate::nginx::{self, Nginx};
use crate::texts::Texts;
use crate::workload::{Name, Workload};

/// Which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The Worker as it was last built.
    Estafette,
    /// The Worker as another build left it in a directory.
    Build(PathBuf),
    /// The ejabberd that the system has installed.
    Ejabberd(ejabberd::Options),
    /// The nginx that the system has installed, for files.
    Nginx,
}

impl Kind {
    /// What its figures are called after.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Estafette => "estafette",
            Self::Build(_) => "build",
            Self::Ejabberd(_) => "ejabberd",
            Self::Nginx => "nginx",
        }
    }

    /// Fails, with advice, when it cannot be started here.
    pub fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Estafette | Self::Build(_) => Ok(()),
            Self::Ejabberd(_) => ejabberd::check(),
            Self::Nginx => nginx::check(),
        }
    }

    /// Whether it can run this workload.
    pub fn has(&self, name: Name) -> bool {
        match self {
            Self::Estafette | Self::Build(_) => true,
            Self::Ejabberd(_) => !name.is_media(),
            Self::Nginx => name.is_media(),
        }
    }
}

/// A running server of some kind, private to this program.
#[derive(Debug)]
pub enum Target {
    /// See [`Kind::Estafette`] and [`Kind::Build`].
    Estafette(Estafette),
    /// See [`Kind::Ejabberd`].
    Ejabberd(Ejabberd),
    /// See [`Kind::Nginx`].
    Nginx(Nginx),
}

impl Target {
    /// Starts one with the accounts that `workload` needs.
    pub async fn start(
        kind: &Kind,
        workload: &Workload,
        texts: Arc<Texts>,
    ) -> anyhow::Result<Self> {
        match kind {
            Kind::Estafette => {
                let server = Estafette::start(Options::new(), workload.accounts(), texts).await?;
                Ok(Self::Estafette(server))
            }
            Kind::Build(bundle) => {
                let options = Options::new().bundle(bundle);
                let server = Estafette::start(options, workload.accounts(), texts).await?;
                Ok(Self::Estafette(server))
            }
            Kind::Ejabberd(options) => {
                let server = Ejabberd::start(workload.accounts(), *options, &texts).await?;
                Ok(Self::Ejabberd(server))
            }
            Kind::Nginx => Ok(Self::Nginx(Nginx::start().await?)),
        }
    }

    /// Runs the workload. Figures have the same names whatever the target.
    pub async fn run(&self, workload: &Workload) -> anyhow::Result<Measurement> {
        match self {
            Self::Estafette(server) => estafette::run(workload, server).await,
            Self::Ejabberd(server) => ejabberd::run(workload, server).await,
            Self::Nginx(server) => server.run(workload).await,
        }
    }

    /// Ends it and removes what it wrote.
    pub async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Estafette(server) => server.stop().await,
            Self::Ejabberd(server) => server.stop().await,
            Self::Nginx(server) => server.stop().await,
        }
    }
}
