//! `bootjack pack`: a directory or an archive becomes a root archive, and the catalog lines for it; or an archive is read
//! to its end, and they are printed for that. The archive is `archive`'s.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::output;
use super::progress::Progress;
use crate::archive::{self, Inspected, LeaveOut, PackOptions, Packed, Pattern};
use crate::load::{Failure, Phase};
use crate::verify::chunks::Gate;
use crate::verify::{ChunkList, Sha256};

/// Makes a root archive (.tar.zst) of a directory or of another archive, and prints the catalog lines for it.
///
/// A directory is packed with owners as numbers, times, modes, hard links, extended attributes, capabilities, ACLs,
/// holes and device nodes. Other file systems mounted below it are not entered; sockets are left out. A tar archive
/// (plain, gzip, zstd, xz, bzip2 or lz4) is compressed anew, its tar bytes untouched; a cpio archive becomes tar; a
/// squashfs or erofs image is mounted and packed as a directory. The same tree gives the same bytes, whatever the number
/// of threads; with SOURCE_DATE_EPOCH in the environment no modification time in a directory is later.
#[derive(clap::Args)]
#[command(
    override_usage = "bootjack pack [OPTIONS] <SOURCE> --output <FILE>\n       \
                      bootjack pack --verify <FILE>",
    after_help = "Example: bootjack pack /srv/roots/rescue -o rescue.tar.zst"
)]
pub struct PackArgs {
    /// Directory, tar or cpio archive, squashfs or erofs image
    source: PathBuf,
    /// File to write
    #[arg(short, long, value_name = "FILE", required_unless_present = "verify")]
    output: Option<PathBuf>,
    /// zstd level, 1 (fast) to 22 (small)
    #[arg(long, default_value_t = PackOptions::default().level, value_parser = clap::value_parser!(i32).range(1..=22))]
    level: i32,
    /// MiB of plain bytes in one frame; each can be decompressed on its own
    #[arg(long, value_name = "MIB", default_value_t = (PackOptions::default().frame >> 20) as u32,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    frame_size: u32,
    /// Threads that compress (default: all cores)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Leave out what has this name, and all below it (repeatable); `*` matches `/` too: 'var/cache/*'
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<Pattern>,
    /// Leave out device nodes below dev/: a system's own devtmpfs has them
    #[arg(long)]
    strip_dev: bool,
    /// Write no chunk list beside the archive
    #[arg(long, conflicts_with = "chunks")]
    no_chunks: bool,
    /// Write FILE.chunks: what each frame is verified by before it is unpacked. That is done unless --no-chunks is given;
    /// with --verify it makes the list of an archive or image that is there, in pieces of 4 MiB
    #[arg(long)]
    chunks: bool,
    /// Read the archive or image to its end, with every check of unpacking, and hold it against its chunk list, if
    /// there is one
    #[arg(long, conflicts_with_all = ["output", "level", "frame_size", "threads", "exclude", "strip_dev"])]
    verify: bool,
    /// Print one JSON object instead of catalog lines
    #[arg(long)]
    json: bool,
}

/// Packs, or verifies, and prints the result on stdout.
pub fn run(args: &PackArgs) -> Result<ExitCode, Failure> {
    let made = match &args.output {
        Some(output) => pack(args, output).map(|(packed, chunks)| {
            let chunks = chunks.as_ref();
            if args.json {
                json(output, &packed, chunks, None)
            } else {
                catalog_line(output, &packed, chunks)
            }
        }),
        None => verify(args),
    };
    let result = made.map_err(|error| Failure::new(Phase::Pack, args.source.display().to_string(), error))?;
    output::print(Phase::Pack, &format!("{result}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn pack(args: &PackArgs, output: &Path) -> Result<(Packed, Option<Sha256>)> {
    if !args.no_chunks && args.frame_size > MOST_FRAME {
        bail!(
            "--frame-size {}: a chunk is one frame of at most {MOST_FRAME} MiB; or say --no-chunks",
            args.frame_size
        );
    }
    let defaults = PackOptions::default();
    let options = PackOptions {
        level: args.level,
        frame: (args.frame_size as usize) << 20,
        threads: args.threads.unwrap_or(defaults.threads),
        source_date_epoch: output::source_date_epoch()?,
        leave_out: LeaveOut { names: args.exclude.clone(), devices: args.strip_dev },
    };
    outside(&args.source, output)?;
    let packed = output::whole(output, |file| write(args, &options, file))?;
    let chunks = if args.no_chunks { None } else { Some(chunks(output, &packed)?) };
    if let (None, Ok(true)) = (&chunks, beside(output).try_exists()) {
        eprintln!("bootjack: {} is of an archive that was there before", beside(output).display());
    }
    for pattern in options.leave_out.unused() {
        eprintln!("bootjack: nothing has a name that --exclude {pattern} matches");
    }
    Ok((packed, chunks))
}

/// MiB of a frame that is a chunk, too: compressed it may be a little larger, and no chunk is longer than 16 MiB.
const MOST_FRAME: u32 = 15;

/// Where the chunk list of an archive lies.
fn beside(archive: &Path) -> PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push(".chunks");
    name.into()
}

/// Writes the chunk list; its digest.
fn chunks(archive: &Path, packed: &Packed) -> Result<Sha256> {
    let (list, text) = ChunkList::of(packed.parts.iter().cloned());
    output::whole(&beside(archive), |mut file| Ok(file.write_all(text.as_bytes())?))?;
    Ok(list.sha256().clone())
}

/// Holds an archive against the list that lies beside it, if one does; the digest of the list.
fn held_against_chunks(archive: &Path) -> Result<Option<Sha256>> {
    let path = beside(archive);
    let context = || format!("reading {}", path.display());
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(context)?,
    };
    let list = ChunkList::parse(&text).with_context(context)?;
    let digest = list.sha256().clone();
    let mut file = File::open(archive)?;
    let mut gate = Gate::new(Arc::new(list));
    let mut bytes = Vec::new();
    while let Some(chunk) = gate.expects() {
        bytes.resize(chunk.length as usize, 0);
        let (number, range) = (gate.number().0, chunk.range());
        let context =
            || format!("chunk {number} of {} (bytes {} to {})", path.display(), range.start, range.end);
        file.read_exact(&mut bytes).with_context(context)?;
        gate.see(&bytes);
        if gate.pass().is_err() {
            bail!("{}: the archive has other bytes", context());
        }
    }
    if file.read(&mut [0])? > 0 {
        bail!("{}: the archive goes on after the last chunk", path.display());
    }
    Ok(Some(digest))
}

fn verify(args: &PackArgs) -> Result<String> {
    let progress = RefCell::new(Progress::to_stderr("reading"));
    progress.borrow_mut().start(total(&args.source));
    let inspected = archive::inspect(&args.source, &|now| progress.borrow_mut().at(now.bytes, now.entries))?;
    drop(progress);
    let Inspected { format, compression, packed } = &inspected;
    let chunks =
        if args.chunks { Some(chunks(&args.source, packed)?) } else { held_against_chunks(&args.source)? };
    let kind =
        compression.map_or_else(|| (*format).to_owned(), |compression| format!("{format}, {compression}"));
    eprintln!("bootjack: {} is whole: {kind}", args.source.display());
    Ok(if args.json {
        json(&args.source, packed, chunks.as_ref(), Some((format, *compression)))
    } else {
        catalog_line(&args.source, packed, chunks.as_ref())
    })
}

fn write(args: &PackArgs, options: &PackOptions, file: &File) -> Result<Packed> {
    let progress = RefCell::new(Progress::to_stderr("packing"));
    progress.borrow_mut().start(total(&args.source));
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let packed = archive::pack(&args.source, &mut out, options, &|now| {
        progress.borrow_mut().at(now.bytes, now.entries);
    })?;
    drop(progress);
    out.flush().context("writing the archive")?;
    Ok(packed)
}

/// An archive inside the tree it is made of would contain a part of itself.
fn outside(source: &Path, output: &Path) -> Result<()> {
    if !source.is_dir() {
        return Ok(());
    }
    let parent = match output.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let real = |path: &Path| path.canonicalize().with_context(|| format!("opening {}", path.display()));
    if real(parent)?.starts_with(real(source)?) {
        bail!("the output {} lies inside the directory to pack", output.display());
    }
    Ok(())
}

/// What an entry of a catalog needs to say, to paste.
fn catalog_line(output: &Path, packed: &Packed, chunks: Option<&Sha256>) -> String {
    // A JSON string is a TOML basic string, too.
    let name = serde_json::Value::String(file_name(output));
    let Packed { bytes, sha256, unpacked, entries, .. } = packed;
    let chunks = chunks.map(|list| format!(", chunks = \"{list}\"")).unwrap_or_default();
    format!(
        "root = {{ url = {name}, sha256 = \"{sha256}\"{chunks}, size = {bytes}, unpacked = {unpacked}, entries = {entries} }}"
    )
}

fn json(file: &Path, packed: &Packed, chunks: Option<&Sha256>, kind: Option<(&str, Option<&str>)>) -> String {
    let Packed { bytes, sha256, unpacked, entries, .. } = packed;
    let mut object = serde_json::json!({
        "url": file_name(file), "sha256": sha256, "size": bytes, "unpacked": unpacked, "entries": entries,
    });
    if let Some(list) = chunks {
        object["chunks"] = list.to_string().into();
    }
    if let Some((format, compression)) = kind {
        object["format"] = format.into();
        object["compression"] = compression.into();
    }
    object.to_string()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// How much there is to do, where it can be known beforehand: the file data of a plain tar archive is nearly all of it;
/// of the rest nothing is known without reading it all.
fn total(source: &Path) -> Option<u64> {
    let file = File::open(source).ok()?;
    let mut magic = [0; 5];
    // Where ustar, GNU and pax headers have their mark.
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut magic, 257).ok()?;
    (&magic == b"ustar").then(|| file.metadata().ok().map(|meta| meta.len()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_line_is_toml_whatever_the_name() {
        let packed = Packed {
            bytes: 5,
            sha256: crate::verify::Sha256::of(b"x"),
            unpacked: 4096,
            entries: 2,
            parts: vec![],
        };
        for name in ["rescue.tar.zst", "a \"b\".tar.zst"] {
            let chunks = Sha256::of(b"list");
            let line = catalog_line(Path::new("/srv").join(name).as_path(), &packed, Some(&chunks));
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table["root"]["url"].as_str(), Some(name));
            assert_eq!(table["root"]["chunks"].as_str(), Some(chunks.to_string().as_str()));
            assert_eq!(table["root"]["unpacked"].as_integer(), Some(4096));
            assert_eq!(line.lines().count(), 1);
        }
    }
}
