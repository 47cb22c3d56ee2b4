//! `bootjack pack`: a directory or an archive becomes a root archive, and the catalog lines for it; or an archive is read
//! to its end, and they are printed for that. The archive is `archive`'s.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use super::output;
use super::progress::Progress;
use crate::archive::{self, Inspected, LeaveOut, PackOptions, Packed, Pattern};
use crate::load::{Failure, Phase};

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
    /// Write nothing: read the archive to its end, with every check of unpacking
    #[arg(long, conflicts_with_all = ["output", "level", "frame_size", "threads", "exclude", "strip_dev"])]
    verify: bool,
    /// Print one JSON object instead of catalog lines
    #[arg(long)]
    json: bool,
}

/// Packs, or verifies, and prints the result on stdout.
pub fn run(args: &PackArgs) -> Result<ExitCode, Failure> {
    let made = match &args.output {
        Some(output) => pack(args, output).map(|packed| {
            if args.json { json(output, &packed, None) } else { catalog_line(output, &packed) }
        }),
        None => verify(args),
    };
    let result = made.map_err(|error| Failure::new(Phase::Pack, args.source.display().to_string(), error))?;
    output::print(Phase::Pack, &format!("{result}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn pack(args: &PackArgs, output: &Path) -> Result<Packed> {
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
    for pattern in options.leave_out.unused() {
        eprintln!("bootjack: nothing has a name that --exclude {pattern} matches");
    }
    Ok(packed)
}

fn verify(args: &PackArgs) -> Result<String> {
    let progress = RefCell::new(Progress::to_stderr("reading"));
    progress.borrow_mut().start(total(&args.source));
    let inspected = archive::inspect(&args.source, &|now| progress.borrow_mut().at(now.bytes, now.entries))?;
    drop(progress);
    let Inspected { format, compression, packed } = &inspected;
    eprintln!("bootjack: {} is whole: {format}, {compression}", args.source.display());
    Ok(if args.json {
        json(&args.source, packed, Some((format, compression)))
    } else {
        catalog_line(&args.source, packed)
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
fn catalog_line(output: &Path, packed: &Packed) -> String {
    // A JSON string is a TOML basic string, too.
    let name = serde_json::Value::String(file_name(output));
    let Packed { bytes, sha256, unpacked, entries } = packed;
    format!(
        "root = {{ url = {name}, sha256 = \"{sha256}\", size = {bytes}, unpacked = {unpacked}, entries = {entries} }}"
    )
}

fn json(file: &Path, packed: &Packed, kind: Option<(&str, &str)>) -> String {
    let Packed { bytes, sha256, unpacked, entries } = packed;
    let mut object = serde_json::json!({
        "url": file_name(file), "sha256": sha256, "size": bytes, "unpacked": unpacked, "entries": entries,
    });
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
        let packed = Packed { bytes: 5, sha256: crate::verify::Sha256::of(b"x"), unpacked: 4096, entries: 2 };
        for name in ["rescue.tar.zst", "a \"b\".tar.zst"] {
            let line = catalog_line(Path::new("/srv").join(name).as_path(), &packed);
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table["root"]["url"].as_str(), Some(name));
            assert_eq!(table["root"]["unpacked"].as_integer(), Some(4096));
            assert_eq!(line.lines().count(), 1);
        }
    }
}
