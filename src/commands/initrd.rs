//! `bootjack initrd`: this binary, modules, certificates and a catalog as one archive that a kernel starts from.
//! How the archive is written is `archive::newc`'s, which modules a kernel has `modules`', what the kernel does with it `boot`'s.

mod bundle;
mod elf;
mod inspect;
mod modules;
mod remote;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use super::keys::KeyArgs;
use super::output;
use crate::archive::newc::{Content, Tree};
use crate::catalog;
use crate::drivers::Module;
use crate::early;
use crate::fetch::Location;
use crate::handover::kernel;
use crate::load::{Failure, Phase};
use crate::plan::{mib, unvouched};
use crate::verify::{Hashing, Sha256};
use bundle::{Bundle, With};
use modules::Kernel;
use remote::SshArgs;

/// zstd's level. An initrd is built once and sent to every machine: 19 is 12 % smaller than 9 and takes 4 s for 10 MB,
/// 23 s for the 50 MB of a generic kernel's network drivers.
const ZSTD_LEVEL: i32 = 19;

/// The level for all modules of a kernel, up to 400 MB: 19 would take minutes.
const ZSTD_LEVEL_MODULES: i32 = 9;

/// Builds an initrd: this program as /init, with the modules, certificates and catalog it will need.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: bootjack initrd -o initrd --modules /lib/modules/$(uname -r) --drivers net,storage \
                        --catalog menus/demo.toml --busybox"
)]
pub struct InitrdArgs {
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Modules of the kernel to boot: its lib/modules/RELEASE.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// The kernel to boot: checks that the modules are its own.
    #[arg(long, value_name = "IMAGE", requires = "modules")]
    kernel: Option<PathBuf>,
    /// Which modules: net, nfs, images, storage, virtiofs, input, watchdog, all, names, or folders such as
    /// kernel/drivers/net/wireless. Default: net, images, input and watchdog; all with --modules-only.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "modules")]
    drivers: Vec<String>,
    /// Only the modules, for the catalog key `modules`.
    #[arg(long, requires = "modules", conflicts_with_all =
        ["catalog", "ca", "ca_only", "key", "busybox", "with", "ssh", "include", "microcode", "binary"])]
    modules_only: bool,
    /// A catalog to boot from when the kernel command line names none.
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Certificates (PEM) of authorities to trust.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    ca: Vec<PathBuf>,
    /// Trust the authorities of --ca alone, not the public ones.
    #[arg(long, requires = "ca")]
    ca_only: bool,
    #[command(flatten)]
    keys: KeyArgs,
    /// A static busybox, for the shell.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true,
          default_missing_value = "/bin/busybox")]
    busybox: Option<PathBuf>,
    /// Programs of this machine, with their libraries and kernel modules: lvm, mdadm, cryptsetup, or any other.
    #[arg(long, value_name = "NAME|PATH[=DEST]", value_delimiter = ',', value_parser = With::parse)]
    with: Vec<With>,
    #[command(flatten)]
    ssh: SshArgs,
    /// Further files, and where they go in the initrd.
    #[arg(long, value_name = "FILE=DEST", num_args = 1.., value_parser = include)]
    include: Vec<Include>,
    /// Microcode for the processor, Intel's or AMD's; goes uncompressed in front.
    #[arg(long, value_name = "FILE")]
    microcode: Vec<PathBuf>,
    /// How to compress.
    #[arg(long, value_name = "METHOD", default_value = "zstd")]
    compress: Compress,
    /// The program that becomes /init, instead of this one.
    #[arg(long, value_name = "PATH", hide = true)]
    binary: Option<PathBuf>,
}

/// `FILE=DEST` of `--include`.
#[derive(Clone, Debug)]
struct Include {
    file: PathBuf,
    dest: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Compress {
    /// Small and quick to unpack.
    Zstd,
    /// For kernels before 5.9.
    Gzip,
    /// Quick to build.
    None,
}

/// Writes the initrd; says on stdout what it is: file, bytes, SHA-256.
///
/// # Errors
/// What could not be read, is not what it should be, or does not fit together.
pub fn run(args: &InitrdArgs) -> Result<ExitCode, Failure> {
    let failed = |e| with_way_out(Failure::new(Phase::Initrd, args.output.display().to_string(), e), args);
    let kernel = args.modules.as_deref().map(Kernel::read).transpose().map_err(failed)?;
    let mut tree = if args.modules_only { Tree::default() } else { Tree::for_init() };
    let chosen =
        kernel.as_ref().map(|kernel| add_modules(args, kernel, &mut tree)).transpose().map_err(failed)?;
    let chosen = chosen.unwrap_or_default();
    if !args.modules_only {
        add_system(args, &mut tree).map_err(failed)?;
    }
    let (bytes, digest) = write(args, &tree).map_err(failed)?;
    let mut said = format!("{}: {bytes} bytes, sha256 {digest}\n", args.output.display());
    if let (Some(kernel), true) = (&kernel, args.modules_only) {
        said += &drivers_line(&kernel.drivers_of(&chosen));
    }
    output::print(Phase::Initrd, &said)?;
    Ok(ExitCode::SUCCESS)
}

/// An initrd for a machine whose root the host shares: this program and the drivers for that, in memory.
///
/// # Errors
/// The modules cannot be read, or this program needs a dynamic loader.
pub(super) fn in_memory(modules: &Path) -> Result<File> {
    let kernel = Kernel::read(modules)?;
    let mut tree = Tree::for_init();
    kernel.add(&kernel.select(&["virtiofs".to_owned()])?, &mut tree)?;
    add_own_program(None, &mut tree)?;
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file =
        File::from(rustix::fs::memfd_create("bootjack-initrd", flags).context("making room for the initrd")?);
    tree.append(&file, 0)?;
    Ok(file)
}

/// The modules asked for, if the kernel is the one they were built for.
fn add_modules(args: &InitrdArgs, kernel: &Kernel, tree: &mut Tree) -> Result<Vec<Module>> {
    if let Some(image) = &args.kernel {
        let release = kernel::release(&read(image)?).with_context(|| image.display().to_string())?;
        ensure!(
            release == kernel.release,
            "{} is kernel {release}, the modules are for {}",
            image.display(),
            kernel.release
        );
    }
    let usual: &[&str] = if args.modules_only { &["all"] } else { &["net", "images", "input", "watchdog"] };
    let mut wanted = match &args.drivers[..] {
        [] => usual.iter().map(ToString::to_string).collect(),
        wanted => wanted.to_vec(),
    };
    wanted.extend(args.with.iter().filter_map(With::drivers).map(str::to_owned));
    let chosen = kernel.select(&wanted)?;
    kernel.add(&chosen, tree)?;
    eprintln!("{} modules of kernel {}", chosen.len(), kernel.release);
    Ok(chosen)
}

/// For the catalog, to paste after `modules = { …`: TOML has no other place for a new line there than a list.
fn drivers_line(names: &[String]) -> String {
    let mut lines = vec![String::from("drivers = [")];
    for name in names {
        let word = format!("{name:?},");
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 110 && !line.ends_with('[') => {
                *line += &format!(" {word}")
            }
            Some(line) if line.ends_with('[') => *line += &word,
            _ => lines.push(format!("  {word}")),
        }
    }
    format!("{}]\n", lines.join("\n"))
}

/// Everything but the modules.
fn add_system(args: &InitrdArgs, tree: &mut Tree) -> Result<()> {
    add_own_program(args.binary.as_deref(), tree)?;
    if let Some(busybox) = &args.busybox {
        add_program(busybox, "bin/busybox", tree)?;
        tree.symlink("bin/sh", "busybox")?;
    }
    args.ssh.add(tree)?;
    add_programs(&[&args.with[..], &args.ssh.programs()].concat(), tree)?;
    if let Some(catalog) = &args.catalog {
        tree.file("etc/bootjack/catalog.toml", 0o644, Content::Bytes(checked(catalog, &args.keys)?))?;
    }
    args.keys.add(tree)?;
    for path in &args.ca {
        let pem = read(path)?;
        let begins = b"-----BEGIN CERTIFICATE-----";
        ensure!(pem.windows(begins.len()).any(|w| w == begins), "{}: no certificate (PEM)", path.display());
        let name = path.file_stem().and_then(|n| n.to_str()).context("a file of --ca has no name")?;
        tree.file(&format!("etc/bootjack/ca/{name}.pem"), 0o644, Content::Bytes(pem))?;
    }
    if args.ca_only {
        tree.file("etc/bootjack/ca-only", 0o644, Content::Bytes(Vec::new()))?;
    }
    for Include { file, dest } in &args.include {
        let about = fs::metadata(file).with_context(|| format!("reading {}", file.display()))?;
        ensure!(about.is_file(), "{}: not a regular file", file.display());
        let mode = if about.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        tree.file(dest, mode, Content::File(file.clone()))?;
    }
    Ok(())
}

/// As /init; another in its place where one is named.
fn add_own_program(named: Option<&Path>, tree: &mut Tree) -> Result<()> {
    let own = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe().context("looking for this program's own file")?,
    };
    add_program(&own, "init", tree)?;
    tree.symlink("bin/bootjack", "../init")
}

/// The programs of `--with` and `--ssh`, and how large they are: they are not small.
fn add_programs(with: &[With], tree: &mut Tree) -> Result<()> {
    if with.is_empty() {
        return Ok(());
    }
    let mut bundle = Bundle::new()?;
    for with in with {
        let (files, bytes) = bundle.take(with).with_context(|| with.wanted_by())?;
        eprintln!("{with}: {files} files, {}", mib(bytes));
    }
    bundle.add(tree)?;
    bundle::settings(with, tree)
}

fn add_program(path: &Path, place: &str, tree: &mut Tree) -> Result<()> {
    let program = read(path)?;
    inspect::static_program(&program).with_context(|| format!("{} cannot be /{place}", path.display()))?;
    tree.file(place, 0o755, Content::Bytes(program))
}

/// The catalog, if `bootjack check` has nothing against it: in the machine it is too late to mend it.
fn checked(path: &Path, keys: &KeyArgs) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    let base = Location::parse("initramfs:/etc/bootjack/catalog.toml")?;
    let name = path.display().to_string();
    let parsed = catalog::parse_bytes(&bytes, &base, &name);
    let mut problems = parsed.problems;
    problems.extend(catalog::decode(&bytes).ok().and_then(|text| catalog::expired(text, early::now())));
    problems.iter().for_each(|problem| eprintln!("{}", problem.render(&name)));
    let errors = problems.iter().filter(|p| p.severity == catalog::Severity::Error).count();
    ensure!(errors == 0, "{name} has errors: {errors}");
    if let (Some(catalog), Some(_)) = (parsed.catalog, keys.keyring()?) {
        for entry in &catalog.entries {
            let parts = unvouched(entry).join(", ");
            ensure!(
                parts.is_empty(),
                "{name}: entry {:?} cannot boot with --key: no sha256 for {parts}",
                entry.id
            );
        }
        if catalog.serial.is_none() {
            eprintln!("{name}: warning: no serial: whoever kept an older signed catalog can bring it back");
        }
    }
    Ok(bytes)
}

/// A failed build leaves the old initrd alone.
fn write(args: &InitrdArgs, tree: &Tree) -> Result<(u64, Sha256)> {
    output::whole(&args.output, |file| write_to(file, args, tree))?;
    let mut bytes = Hashing::new(File::open(&args.output).context("reading the initrd back")?);
    io::copy(&mut bytes, &mut io::sink()).context("reading the initrd back")?;
    Ok((bytes.count(), bytes.finish()))
}

fn write_to(file: &File, args: &InitrdArgs, tree: &Tree) -> Result<()> {
    let mut out = BufWriter::new(file);
    let mtime = time_of_members()?;
    if !args.microcode.is_empty() {
        microcode(&args.microcode)?.write(&mut out, mtime)?;
    }
    match args.compress {
        Compress::Zstd => {
            let level = if args.modules_only { ZSTD_LEVEL_MODULES } else { ZSTD_LEVEL };
            let mut zstd = zstd::Encoder::new(&mut out, level)?;
            tree.write(&mut zstd, mtime)?;
            zstd.finish()?;
        }
        Compress::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(&mut out, flate2::Compression::best());
            tree.write(&mut gzip, mtime)?;
            gzip.finish()?;
        }
        Compress::None => tree.write(&mut out, mtime)?,
    }
    out.flush().context("writing the initrd")
}

/// The first archive: one file a vendor, updates one after the other.
fn microcode(files: &[PathBuf]) -> Result<Tree> {
    let mut vendors: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for path in files {
        let bytes = read(path)?;
        let place = inspect::microcode_path(&bytes).with_context(|| path.display().to_string())?;
        vendors.entry(place).or_default().extend(bytes);
    }
    let mut tree = Tree::default();
    for (place, bytes) in vendors {
        tree.file(place, 0o644, Content::Bytes(bytes))?;
    }
    Ok(tree)
}

/// Seconds since 1970 for every member: `SOURCE_DATE_EPOCH` (reproducible-builds.org), else 0.
fn time_of_members() -> Result<u32> {
    let seconds = output::source_date_epoch()?.unwrap_or(0);
    u32::try_from(seconds)
        .with_context(|| format!("SOURCE_DATE_EPOCH is {seconds}: a cpio has 32 bits for it"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// `FILE=DEST`; DEST from the root of the initrd, without tricks.
fn include(text: &str) -> Result<Include> {
    let (file, dest) = text.split_once('=').context("FILE=DEST is wanted")?;
    ensure!(!file.is_empty(), "FILE=DEST is wanted, such as ./motd=/etc/motd");
    Ok(Include { file: file.into(), dest: plain_path(dest).context("FILE=DEST")? })
}

/// A path from the root of the initrd, with or without the first `/`.
fn plain_path(text: &str) -> Result<String> {
    let path = text.trim_start_matches('/');
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        bail!("{text:?} is no plain path in the initrd, such as /usr/sbin/tool");
    }
    Ok(path.to_owned())
}

/// Adds what to do about it, where that is known.
fn with_way_out(failure: Failure, args: &InitrdArgs) -> Failure {
    let says = |text: &str| failure.cause.iter().any(|c| c.contains(text));
    if says("modules.dep") {
        let dir = args.modules.as_deref().unwrap_or(Path::new("")).display();
        return failure.hint(format!(
            "after unpacking a kernel package: depmod -b DIR RELEASE, for {dir} = DIR/lib/modules/RELEASE"
        ));
    }
    if says("dynamically linked") {
        return failure
            .hint("make build leaves a static bootjack at target/bootjack; Debian has busybox-static");
    }
    failure
}
