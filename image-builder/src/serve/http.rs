//! The web server: the files of the tree, whole or from some byte on, and nothing else.

use crate::failure::{Advice, Kind};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddrV4;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

/// How many are answered at the same time.
const WORKERS: usize = 128;

/// A running server; it ends when this is dropped.
pub(super) struct Web {
    server: Arc<Server>,
    at: SocketAddrV4,
}

impl Drop for Web {
    fn drop(&mut self) {
        for _ in 0..WORKERS {
            self.server.unblock();
        }
    }
}

impl Web {
    /// Serves what is in the folder.
    ///
    /// # Errors
    /// The port is taken, or may not be used.
    pub(super) fn begin(at: SocketAddrV4, folder: &Path) -> Result<Self> {
        let server = Server::http(at).map_err(|error| {
            let advice = Advice::new(Kind::Host, format!("listening at {at}: {error}"));
            advice.hint("choose another port with `--port`").error()
        })?;
        let server = Arc::new(server);
        for _ in 0..WORKERS {
            let (server, folder) = (Arc::clone(&server), folder.to_owned());
            let work = move || {
                while let Ok(request) = server.recv() {
                    answer(request, &folder);
                }
            };
            std::thread::Builder::new().name("web".to_owned()).spawn(work).context("starting a thread")?;
        }
        Ok(Self { server, at })
    }

    /// Where it listens.
    pub(super) fn at(&self) -> SocketAddrV4 {
        self.at
    }
}

fn answer(request: Request, folder: &Path) {
    let from = request.remote_addr().map(ToString::to_string).unwrap_or_default();
    let url = request.url().to_owned();
    let outcome = match respond(&request, folder) {
        Ok(response) => {
            tracing::info!(%from, %url, "served");
            request.respond(response)
        }
        Err(status) => {
            tracing::info!(%from, %url, status, "refused");
            request.respond(Response::empty(StatusCode(status)))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a client went away");
    }
}

/// What is sent, or the status that says why nothing is.
fn respond(request: &Request, folder: &Path) -> Result<Response<std::io::Take<File>>, u16> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Err(405);
    }
    let path = place(folder, request.url()).ok_or(404_u16)?;
    let mut file = File::open(path).map_err(|_| 404_u16)?;
    let about = file.metadata().map_err(|_| 404_u16)?;
    if !about.is_file() {
        return Err(404);
    }
    let asked = request.headers().iter().find(|header| header.field.equiv("Range"));
    let range = asked.and_then(|header| range(header.value.as_str(), about.len()));
    let (status, (start, end)) = match (asked, range) {
        (Some(_), None) => return Err(416),
        (_, Some(range)) => (206, range),
        (None, None) => (200, (0, about.len())),
    };
    file.seek(SeekFrom::Start(start)).map_err(|_| 500_u16)?;
    let mut headers = Vec::from_iter(header("Accept-Ranges", "bytes"));
    headers.extend(header("Content-Type", kind(request.url())));
    if status == 206 {
        let last = end.saturating_sub(1);
        headers.extend(header("Content-Range", &format!("bytes {start}-{last}/{}", about.len())));
    }
    let length = usize::try_from(end - start).map_err(|_| 500_u16)?;
    let response = Response::new(StatusCode(status), headers, file.take(end - start), Some(length), None);
    // Boot loaders do not know chunks.
    Ok(response.with_chunked_threshold(usize::MAX))
}

/// Only files below the folder, by plain names.
fn place(folder: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.trim_start_matches('/');
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !path.is_empty() && !path.contains('%')).then(|| folder.join(path))
}

/// From the first byte that is wanted to behind the last one (RFC 9110, 14.1.2; one range only).
fn range(header: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first.parse(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) => (start, last.checked_add(1)?.min(length)),
        (Ok(start), Err(_)) if last.is_empty() => (start, length),
        (Err(_), Ok(count)) if first.is_empty() => (length.saturating_sub(count), length),
        _ => return None,
    };
    (start < end).then_some((start, end))
}

/// Firmware takes a file for what this says it is (UEFI specification, HTTP boot).
fn kind(url: &str) -> &'static str {
    match Path::new(url).extension().and_then(|extension| extension.to_str()) {
        Some("iso") => "application/vnd.efi-iso",
        Some("efi") => "application/efi",
        Some("cfg") => "text/plain",
        _ => "application/octet-stream",
    }
}

fn header(name: &str, value: &str) -> Option<Header> {
    Header::from_bytes(name, value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn names_cannot_leave_the_folder() {
        let folder = Path::new("/t");
        assert_eq!(place(folder, "/a/b.efi?x"), Some(PathBuf::from("/t/a/b.efi")));
        for url in ["/", "/../etc/passwd", "/a/../../b", "/%2e%2e/b", "//../x"] {
            assert_eq!(place(folder, url), None, "{url}");
        }
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        assert_eq!(range("bytes=0-9", 100), Some((0, 10)));
        assert_eq!(range("bytes=90-", 100), Some((90, 100)));
        assert_eq!(range("bytes=90-500", 100), Some((90, 100)));
        assert_eq!(range("bytes=-10", 100), Some((90, 100)));
        for none in
            ["bytes=100-", "bytes=5-4", "lines=1-2", "bytes=a-b", "bytes=-", "bytes=0-18446744073709551615x"]
        {
            assert_eq!(range(none, 100), None, "{none}");
        }
    }

    #[test]
    fn files_are_served_whole_in_part_and_by_their_head_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bootx64.efi"), b"0123456789").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = SocketAddrV4::new([127, 0, 0, 1].into(), port);
        let _web = Web::begin(at, folder.path()).unwrap();
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(at).unwrap();
            write!(stream, "{request}\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            said
        };
        let whole = ask("GET /bootx64.efi HTTP/1.1");
        assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with("0123456789"), "{whole}");
        assert!(whole.contains("Content-Length: 10") && whole.contains("application/efi"), "{whole}");
        let part = ask("GET /bootx64.efi HTTP/1.1\r\nRange: bytes=4-5");
        assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\n45"), "{part}");
        let head = ask("HEAD /bootx64.efi HTTP/1.1");
        assert!(head.contains("Content-Length: 10") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask("GET /nothing HTTP/1.1").starts_with("HTTP/1.1 404"));
        assert!(ask("PUT /bootx64.efi HTTP/1.1").starts_with("HTTP/1.1 405"));
    }
}
