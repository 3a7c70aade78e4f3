//! What is said of a file beside its name: what it is, how large a picture is and what it looks like
//! from afar, how long a sound plays.
//!
//! It is for show. What can't be read says nothing, and fails nothing.

use std::path::Path;

use estafette_core::{About, NAME_BYTES_MAX};

/// Describes a file of the user's. `name` is what it is to be called instead of its own name.
pub(super) fn describe(path: &Path, name: Option<String>) -> About {
    let own = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.or(own).filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
    let media_type = name.as_deref().and_then(media_type);
    let about = About { name, media_type, ..About::default() };
    #[cfg(feature = "previews")]
    let about = previews::add(path, about);
    about
}

/// What a file is by its name.
pub(crate) fn media_type(name: &str) -> Option<String> {
    mime_guess::from_path(name).first_raw().map(str::to_owned)
}

#[cfg(feature = "previews")]
mod previews {
    use std::path::Path;

    use estafette_core::About;
    use image::metadata::Orientation;
    use image::{DynamicImage, GenericImageView as _, ImageDecoder, ImageReader, Limits};
    use lofty::config::ParseOptions;
    use lofty::file::AudioFile as _;
    use lofty::probe::Probe;

    /// The longest side of a picture that is looked at, in pixels.
    const SIDE_MAX: u32 = 16_384;
    /// The most memory that looking at a picture takes, in bytes.
    const MEMORY_MAX: u64 = 256 * 1024 * 1024;
    /// The longest side of what a ThumbHash is made of, in pixels: its own limit.
    const SMALL_SIDE: u32 = 100;

    pub(super) fn add(path: &Path, about: About) -> About {
        match (picture(path), about.media_type.as_deref()) {
            (Some((media_type, dimensions, thumbhash)), _) => About {
                media_type: Some(media_type.to_owned()),
                dimensions: Some(dimensions),
                thumbhash,
                ..about
            },
            (None, Some(kind)) if kind.starts_with("audio/") || kind == "video/mp4" => {
                About { duration: duration(path), ..about }
            }
            (None, _) => about,
        }
    }

    type Picture = (&'static str, (u32, u32), Option<Vec<u8>>);

    /// What a picture is, its width and height as it is shown, and its ThumbHash.
    fn picture(path: &Path) -> Option<Picture> {
        let mut reader = ImageReader::open(path).ok()?.with_guessed_format().ok()?;
        let media_type = reader.format()?.to_mime_type();
        let mut limits = Limits::default();
        limits.max_image_width = Some(SIDE_MAX);
        limits.max_image_height = Some(SIDE_MAX);
        limits.max_alloc = Some(MEMORY_MAX);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().ok()?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let (width, height) = decoder.dimensions();
        let turned = matches!(
            orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        );
        let dimensions = if turned { (height, width) } else { (width, height) };
        if width == 0 || height == 0 {
            return None;
        }
        let small = DynamicImage::from_decoder(decoder).ok().map(|picture| {
            let mut small = picture.thumbnail(SMALL_SIDE, SMALL_SIDE);
            small.apply_orientation(orientation);
            let (width, height) = small.dimensions();
            thumbhash::rgba_to_thumb_hash(width as usize, height as usize, &small.to_rgba8())
        });
        Some((media_type, dimensions, small))
    }

    /// How long it plays, in milliseconds.
    fn duration(path: &Path) -> Option<u64> {
        let options = ParseOptions::new().read_tags(false).read_cover_art(false);
        let probe = Probe::open(path).ok()?.options(options).guess_file_type().ok()?;
        let duration = probe.read().ok()?.properties().duration();
        u64::try_from(duration.as_millis()).ok().filter(|duration| *duration > 0)
    }
}
