//! Roots that are images of a file system: nothing is unpacked, a machine boots that has no memory for the tree, and what
//! is refused, ended or run in one leaves nothing.

use bootjack::archive::Image;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::lab::{Initrd, Kernel, Root, catalog, job, kernel_artifact, kexec, made, menu_of};
use crate::machine::{ENTER, ESC, Options, TWO_KERNELS, Vm};
use crate::server::{Answer, Server};

/// What the status line of a menu without a countdown says.
const MENU: &str = "Choose an entry";

/// In the menu of this catalog, with these drivers in the initrd.
fn machine(server: &Server, catalog: &str, drivers: &str) -> Vm {
    let words = format!("bootjack.catalog={}", server.text("catalog.toml", catalog));
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", drivers]);
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..Options::default() });
    vm.expect(MENU);
    vm
}

/// From a failure screen.
fn back_to_the_menu(vm: &mut Vm) {
    vm.expect("What now?");
    vm.type_keys(ESC);
    vm.expect_gone("What now?");
    vm.expect(MENU);
}

/// No loop device has a file, no root is mounted, and nothing of a job runs. Leaves a shell.
fn expect_nothing_left(vm: &mut Vm) {
    vm.type_keys("s");
    vm.expect("# ");
    vm.type_keys("l=$(ls -d /sys/block/loop*/loop 2>/dev/null | wc -l); m=$(grep -c sysroot /proc/mounts)\r");
    vm.type_keys("echo left: $l $m $(ps | grep -c '[s]leep 1000')\r");
    vm.expect("left: 0 0 0");
}

#[test]
fn what_cannot_be_a_root_is_refused_in_words_and_leaves_nothing() {
    let (server, root) = (Server::new(), Root::image(Image::Squashfs));
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let huge =
        format!("{{ url = \"root\", sha256 = \"{}\", size = {}, unpacked = 0 }}", root.sha256, 8_u64 << 30);
    let wrong = format!("{{ url = \"root\", sha256 = \"{}\" }}", "deadbeef".repeat(8));
    let entries = [("huge", &*huge, ""), ("wrong", &wrong, ""), ("good", &root.artifact("root"), "")];
    // The drivers of images are not in this initrd.
    let mut vm = machine(&server, &catalog(&entries), "net");
    vm.type_keys(ENTER);
    vm.expect("needs 8224 MiB of memory");
    back_to_the_menu(&mut vm);
    assert!(!server.asked().contains(&"/root".to_owned()));
    vm.type_keys("2\r");
    vm.expect("deadbeef");
    vm.expect(&root.sha256[..8]);
    back_to_the_menu(&mut vm);
    vm.type_keys("3\r");
    vm.expect("--drivers net,images");
    assert!(vm.log().contains("/dev/loop-control"), "the driver is named");
    back_to_the_menu(&mut vm);
    expect_nothing_left(&mut vm);
}

#[test]
fn a_load_that_is_ended_and_a_job_leave_nothing_and_the_next_root_boots() {
    let (server, tools, root) = (Server::new(), Root::image(Image::Erofs), Root::image(Image::Squashfs));
    let half = tools.bytes.len() / 2;
    let slow = [Answer::Hang(tools.bytes.clone(), half), Answer::Good(tools.bytes.clone())];
    server.put("tools", &slow);
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let script = "busybox setsid sleep 1000 & grep ' / ' /proc/mounts; echo written > /etc/marker; cat /etc/marker; echo all done";
    let work = job("work", &tools.artifact("tools"), script, "on_success = \"menu\"");
    let mut vm = machine(&server, &menu_of("", &work, &root.artifact("root")), "net,images");
    vm.expect("an image, read in place");
    vm.type_keys(ENTER);
    vm.expect("erofs, read in place");
    vm.type_keys(ESC);
    vm.expect(MENU);
    expect_nothing_left(&mut vm);
    vm.type_keys("exit\r");
    vm.expect(MENU);
    vm.type_keys(ENTER);
    vm.expect("bootjack / overlay rw");
    vm.expect("written");
    vm.expect("work: ended well");
    vm.expect(MENU);
    expect_nothing_left(&mut vm);
    vm.type_keys("exit\r");
    vm.expect(MENU);
    vm.type_keys("2\r");
    vm.expect("FACT marker the root that was packed");
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").starts_with("bootjack / overlay rw"), "{}", vm.fact("root"));
    assert_eq!(vm.fact("owner"), "1234:5678 640");
    // The upper layer alone: 80 % of 512 MiB, nearly empty.
    let facts = vm.fact("rootsize");
    let numbers: Vec<u64> = facts.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] > 300 && numbers[1] <= 1, "{facts}");
}

#[test]
fn a_carried_image_is_the_root_of_the_second_kernel() {
    let (server, root) = (Server::new(), Root::image(Image::Squashfs));
    server.put("root", &[Answer::Good(root.bytes.clone())]);
    let kernel = kernel_artifact(&server, "vmlinuz", Kernel::Cloud);
    let root = format!("root = {}\ncarry = \"yes\"", root.artifact("root"));
    let menu = format!("version = 1\n{}", kexec("image", &kernel, &root));
    let words = format!("bootjack.catalog={}", server.text("catalog.toml", &menu));
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net,images"]);
    let options = Options { memory: 1024, patience: TWO_KERNELS, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.expect("Entry image");
    vm.type_keys(ENTER);
    vm.expect("starting Linux");
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").starts_with("bootjack / overlay rw"), "{}", vm.fact("root"));
    assert!(vm.fact("cmdline").contains("root=tmpfs:initramfs:/bootjack/root"), "{}", vm.fact("cmdline"));
    assert_eq!(server.asked().iter().filter(|path| *path == "/root").count(), 1, "it was fetched again");
}

/// The disk is the image, which nobody vouches for; no network is needed.
#[test]
fn an_image_on_a_disk_itself_boots() {
    let disk = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(disk.path(), &*Root::image(Image::Erofs).bytes).unwrap();
    let drive = format!("if=none,id=d0,format=raw,file={}", disk.path().display());
    let devices = ["-drive", &drive, "-device", "virtio-blk-pci,drive=d0"];
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "storage"]);
    let options = Options { append: "root=tmpfs:/dev/vda", devices: &devices, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), ..options });
    vm.expect("FACT end");
    vm.wait_exit();
    assert!(vm.fact("root").starts_with("bootjack / overlay rw"), "{}", vm.fact("root"));
    assert_eq!(vm.fact("marker"), "the root that was packed");
}

/// By the kernel's words alone, as an archive would be.
#[test]
fn a_debian_boots_in_less_memory_than_its_tree_takes() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    unpack(&made("lab/debian.tar"), &tree);
    let (server, root) = (Server::new(), Root::image_of(&tree, Image::Squashfs));
    server.put("root", &[Answer::Good(Arc::clone(&root.bytes))]);
    let initrd = Initrd::new(Kernel::Cloud, &["--drivers", "net,images"]);
    let words = format!("root=tmpfs:{} rd.tmpfs.sha256={}", server.url("root"), root.sha256);
    let words = format!("{words} rd.tmpfs.size=64m");
    let options = Options { memory: 224, patience: 480, ..Options::default() };
    let mut vm = Vm::boot(&Options { initrd: &initrd.path(), append: &words, ..options });
    vm.expect("demo login:");
    vm.type_keys("root\r");
    vm.expect("# ");
    vm.type_keys("echo ROOT $(findmnt -no FSTYPE,SIZE,USED /) $(systemctl is-system-running)\r");
    vm.expect("ROOT overlay 64M ");
    vm.type_keys(
        "cd /srv/specimens; echo KEPT $(stat -c %u:%g:%a owned) $(stat -c %h owned) $(getcap capable)\r",
    );
    vm.expect("KEPT 1234:5678:4750 2 capable cap_net_raw=ep");
    vm.type_keys("n=$(dd if=/dev/zero of=/fill bs=1M count=80 2>&1 | grep -c 'No space left')\r");
    vm.type_keys("rm /fill; echo FULL $n\r");
    vm.expect("FULL 1");
}

fn unpack(archive: &Path, tree: &Path) {
    let words = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];
    let done = Command::new("tar").args(words).arg(archive).current_dir(tree).output().expect("tar");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
