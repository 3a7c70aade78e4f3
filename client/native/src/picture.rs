//! The picture of a profile, between its file and the server.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use estafette_core::Picture;
use estafette_core::media::MediaKey;
use estafette_protocol::PhoneNumber;

use crate::transfer::{drawn, media_type};
use crate::{Account, Error};

impl Account {
    /// Puts a picture from a file. Returns what opens it, for the profile to tell, as
    /// [`Server::set_profile`](crate::Server::set_profile) takes it: that comes after this.
    ///
    /// # Errors
    /// When it can't be read, is no picture by its name or longer than [`Picture::BYTES_MAX`], or the server
    /// refuses or doesn't answer.
    pub async fn put_picture(&self, path: &Path) -> Result<String, Error> {
        let at = |source| Error::File { action: "read", path: path.to_owned(), source };
        let name = path.file_name().and_then(|name| name.to_str());
        let kind = name.and_then(media_type).filter(|kind| kind.starts_with("image/"));
        let kind = kind.ok_or_else(|| Error::NoPicture(path.to_owned()))?;
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(at)?;
        // One byte more than may be shows that it is too long.
        file.take(Picture::BYTES_MAX + 1).read_to_end(&mut bytes).map_err(at)?;
        let sealed = Picture::seal(MediaKey(drawn()?), Some(kind), &bytes);
        let (picture, sealed) = sealed.map_err(|_| Error::NoPicture(path.to_owned()))?;
        let text = picture.to_text().map_err(|error| Error::NotTaken(error.into()))?;
        self.server.put_picture(&self.token, sealed).await?;
        Ok(text)
    }

    /// Fetches somebody's picture, proves it, and keeps it in a new file.
    ///
    /// # Errors
    /// When there is something of that name, they have or show none, it is another, or the server refuses
    /// or doesn't answer.
    pub async fn fetch_picture(
        &self,
        number: PhoneNumber,
        picture: &Picture,
        path: &Path,
    ) -> Result<(), Error> {
        if path.exists() {
            return Err(Error::Exists(path.to_owned()));
        }
        let sealed = self.server.picture_of(&self.token, number).await?;
        let opened = picture.open(&sealed).or(Err(Error::OtherPicture))?;
        let at = |source| Error::File { action: "write", path: path.to_owned(), source };
        let mut file = File::create_new(path).map_err(at)?;
        file.write_all(&opened).map_err(at)
    }
}
