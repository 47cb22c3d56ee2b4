//! `bootjack pack`: a directory or a tar archive becomes a root archive, and the catalog lines for it. The archive is
//! `archive`'s.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use super::output;
use super::progress::Progress;
use crate::archive::{self, PackOptions, Packed};
use crate::load::{Failure, Phase};

/// Makes a root archive (.tar.zst) of a directory or of a tar archive, and prints the catalog lines for it.
///
/// A directory is packed with owners as numbers, times, modes, hard links, extended attributes, capabilities, ACLs,
/// holes and device nodes. Other file systems mounted below it are not entered; sockets are left out. A tar archive
/// (plain, gzip, zstd or xz) is compressed anew, its tar bytes untouched. The same tree gives the same bytes, whatever
/// the number of threads; with SOURCE_DATE_EPOCH in the environment no modification time in a directory is later.
#[derive(clap::Args)]
#[command(after_help = "Example: bootjack pack /srv/roots/rescue -o rescue.tar.zst")]
pub struct PackArgs {
    /// Directory or tar archive
    source: PathBuf,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// zstd level, 1 (fast) to 22 (small)
    #[arg(long, default_value_t = PackOptions::default().level, value_parser = clap::value_parser!(i32).range(1..=22))]
    level: i32,
    /// Threads that compress (default: all cores)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Print one JSON object instead of catalog lines
    #[arg(long)]
    json: bool,
}

/// Packs, and prints the result on stdout.
pub fn run(args: &PackArgs) -> Result<ExitCode, Failure> {
    let packed =
        pack(args).map_err(|error| Failure::new(Phase::Pack, args.source.display().to_string(), error))?;
    let result = if args.json { json(args, &packed) } else { catalog_line(&args.output, &packed) };
    output::print(Phase::Pack, &format!("{result}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn pack(args: &PackArgs) -> Result<Packed> {
    let defaults = PackOptions::default();
    let options = PackOptions {
        level: args.level,
        threads: args.threads.unwrap_or(defaults.threads),
        source_date_epoch: output::source_date_epoch()?,
    };
    outside(&args.source, &args.output)?;
    output::whole(&args.output, |file| write(args, &options, file))
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

fn json(args: &PackArgs, packed: &Packed) -> String {
    let Packed { bytes, sha256, unpacked, entries } = packed;
    serde_json::json!({
        "url": file_name(&args.output), "sha256": sha256, "size": bytes, "unpacked": unpacked, "entries": entries,
    })
    .to_string()
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
