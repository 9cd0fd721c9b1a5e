//! A directory served as a site.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, ALLOW, ETAG, LAST_MODIFIED, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use rustix::io::Errno;

use super::ServeError;
use super::caching;
use super::confined::{Door, Found};
use super::content::{self, Content};
use super::encoding::{self, Encoding};
use super::listing;
use super::media;
use super::options::{FileOptions, Listing};
use super::path::{Asked, Refused};
use super::representation::{Choice, Representation, Source, file_tag};

/// The files below one directory.
///
/// Nothing outside it is served, whatever the path says and wherever symbolic links lead, unless they are let.
/// `index.html` stands for its folder; `NAME.br`, `NAME.zst` and `NAME.gz` are sent for `NAME` to clients that want them,
/// unless they are older than it.
pub(super) struct Files {
    shelf: Arc<Shelf>,
}

/// What is looked at where waiting for a disk hurts nobody.
struct Shelf {
    door: Door,
    options: FileOptions,
}

/// What is at a path.
enum Place {
    File(Representation),
    /// A folder, named without its last slash.
    Folder,
    Listed(String),
}

/// What can be done with a file.
const ALLOWED: &str = "GET, HEAD, OPTIONS";
/// What stands for a folder.
const INDEX: &str = "index.html";
/// The page for what is missing, where nobody names one.
const NOT_FOUND: &str = "404.html";

impl Files {
    /// `private` is a resolved directory that is never served, wherever it is.
    ///
    /// # Errors
    /// The root can't be resolved or is no directory; the page for what is missing is missing.
    pub(super) fn open(
        options: FileOptions,
        private: Option<PathBuf>,
    ) -> Result<Files, ServeError> {
        let root = options.root.clone();
        let unreadable = |cause| ServeError::RootUnreadable {
            root: root.clone(),
            cause,
        };
        let real = root.canonicalize().map_err(unreadable)?;
        if !real.metadata().map_err(unreadable)?.is_dir() {
            return Err(ServeError::RootNotDirectory { root });
        }
        real.read_dir().map_err(unreadable)?;
        let door = Door::to(real, options.links, options.hidden, private).map_err(unreadable)?;
        if let Some(page) = &options.not_found
            && !matches!(door.open(page), Ok(Found::File(..)))
        {
            let page = page.clone();
            return Err(ServeError::NotFoundPage { page, root });
        }
        let shelf = Arc::new(Shelf { door, options });
        Ok(Files { shelf })
    }

    /// The directory, resolved.
    pub(super) fn root(&self) -> &Path {
        self.shelf.door.root()
    }

    /// Answers with a file, a part of one, or the reason there is none.
    pub(super) async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Response<Content> {
        match *method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return options(),
            _ => return content::not_allowed(ALLOWED),
        }
        let asked = match Asked::of(uri.path()) {
            Ok(asked) => asked,
            Err(Refused::Absent) => return self.not_found(method, headers).await,
            Err(Refused::Malformed) => {
                return content::refusal(
                    StatusCode::BAD_REQUEST,
                    "This address is malformed: behind a percent sign come two hexadecimal digits.",
                );
            }
        };
        let folder = asked.as_folder();
        match self.look(asked, headers).await {
            Ok(Place::File(file)) => file.answer(method, headers),
            Ok(Place::Folder) => redirect(&folder, uri.query()),
            Ok(Place::Listed(page)) => content::fresh_page(method, page),
            Err(cause) if is_absence(&cause) => self.not_found(method, headers).await,
            Err(cause) => {
                tracing::warn!(path = uri.path(), %cause, "cannot read a file");
                content::refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This file cannot be read at the moment.",
                )
            }
        }
    }

    async fn look(&self, asked: Asked, headers: &HeaderMap) -> io::Result<Place> {
        let shelf = self.shelf.clone();
        let mut wanted = HeaderMap::new();
        for field in headers.get_all(ACCEPT_ENCODING) {
            wanted.append(ACCEPT_ENCODING, field.clone());
        }
        tokio::task::spawn_blocking(move || shelf.look(&asked, &wanted))
            .await
            .map_err(io::Error::other)?
    }

    /// The operator's own page, or ours.
    async fn not_found(&self, method: &Method, headers: &HeaderMap) -> Response<Content> {
        let named = self.shelf.options.not_found.as_deref();
        let page = named.unwrap_or(Path::new(NOT_FOUND));
        let asked = Asked {
            segments: page.iter().map(|name| name.as_bytes().to_owned()).collect(),
            is_folder: false,
        };
        let Ok(Place::File(file)) = self.look(asked, headers).await else {
            return content::not_found();
        };
        let mut response = file.answer(method, &HeaderMap::new());
        *response.status_mut() = StatusCode::NOT_FOUND;
        // They would speak of the page, not of what was asked for.
        for field in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
            response.headers_mut().remove(field);
        }
        response
    }
}

impl Shelf {
    fn look(&self, asked: &Asked, wanted: &HeaderMap) -> io::Result<Place> {
        let inside = asked.relative();
        match self.door.open(&inside)? {
            // A slash behind a file means what is in it, and there is nothing.
            Found::File(..) if asked.is_folder => Err(io::ErrorKind::NotADirectory.into()),
            Found::File(file, metadata) => self.file(&inside, file, &metadata, wanted),
            Found::Folder(_) if !asked.is_folder => Ok(Place::Folder),
            Found::Folder(real) => {
                let index = inside.join(INDEX);
                match self.door.open(&index) {
                    Ok(Found::File(file, metadata)) => {
                        return self.file(&index, file, &metadata, wanted);
                    }
                    Err(cause) if !is_absence(&cause) => return Err(cause),
                    _ => {}
                }
                if self.options.listing == Listing::Off {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let told = format!("/{}", inside.display());
                listing::page(&self.door, &inside, &real, &told).map(Place::Listed)
            }
        }
    }

    /// A file, in the form that is wanted most.
    fn file(
        &self,
        inside: &Path,
        file: File,
        metadata: &Metadata,
        wanted: &HeaderMap,
    ) -> io::Result<Place> {
        let changed = metadata.modified()?;
        let mut best = (encoding::plain_weight(wanted), None);
        let mut choice = Choice::Only;
        for encoding in Encoding::ALL {
            let mut name = inside.as_os_str().to_owned();
            name.push(encoding.suffix());
            let Ok(Found::File(packed, about)) = self.door.open(Path::new(&name)) else {
                continue;
            };
            // What was packed before the last change is another version.
            if about.modified()? < changed {
                continue;
            }
            choice = Choice::ByEncoding;
            let weight = encoding.weight(wanted);
            // Among equals packed goes before plain, and the first before the next.
            if weight > best.0 || (weight == best.0 && weight > 0 && best.1.is_none()) {
                best = (weight, Some((encoding, packed, about)));
            }
        }
        let now = SystemTime::now();
        let (encoding, file, about) = match &best.1 {
            Some((encoding, _, about)) => (Some(encoding.token()), None, about),
            None => (None, Some(file), metadata),
        };
        let (changed, len) = (about.modified()?, about.len());
        let tag = file_tag(changed, len, encoding, now);
        let file = match (file, best.1) {
            (Some(file), _) | (None, Some((_, file, _))) => file,
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        let mut path = b"/".to_vec();
        path.extend_from_slice(inside.as_os_str().as_bytes());
        let cache = caching::control(&self.options.keep, &path);
        Ok(Place::File(Representation {
            content_type: media::of(inside),
            tag: tag.into(),
            // It must not lie in the future (RFC 9110, section 8.8.2.1).
            modified: Some(whole_seconds(changed.min(now))),
            cache: cache.map(Into::into),
            encoding,
            choice,
            source: Source::File(Arc::new(file), len),
        }))
    }
}

/// 301, to a path of our own making on this host.
fn redirect(folder: &str, query: Option<&str>) -> Response<Content> {
    let target = match query {
        Some(query) => format!("{folder}?{query}"),
        None => folder.to_owned(),
    };
    let mut response = content::refusal(
        StatusCode::MOVED_PERMANENTLY,
        "The address of a folder ends with a slash.",
    );
    if let Ok(target) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

fn options() -> Response<Content> {
    let mut response = Response::new(Content::EMPTY);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(ALLOWED));
    response
}

/// As far as a date of HTTP goes.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}

/// Failures that mean "no such thing here" to a stranger.
fn is_absence(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    ) || cause.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
