//! Journeys through a real machine: QEMU, a real kernel, the real initrd. One module a journey, its name the promise.
//! What they need is made by `make test-vm`, which also runs them one at a time.

mod lab;
mod machine;
mod screen;
mod server;

mod a_foreign_modprobe_reads_our_tables;
mod attempts_are_counted_over_kexecs;
mod binary_is_static_and_small;
mod capabilities_owners_and_nodes_survive;
mod crashing_worker_is_reported;
mod dhcp_appears_late;
mod e1000_on_the_generic_kernel;
mod enospc_while_unpacking;
mod every_failure_ends_as_declared;
mod gnu_static_boots;
mod harness_sees_types_and_ends;
mod initramfs_memory_is_given_back;
mod jobs_end_as_declared;
mod jobs_leave_nothing;
mod kexec_carries_the_root;
mod kexec_fetches_again;
mod kexec_in_little_memory;
mod kexec_own_initrd;
mod kexec_plain_kernel;
mod kexec_refused_is_back_in_the_menu;
mod malformed_catalog_still_boots_the_good_entry;
mod missing_init_is_refused;
mod no_console_of_the_kernel;
mod nobody_is_there;
mod not_enough_memory_is_refused_with_numbers;
mod not_found_is_shown;
mod nvme_and_ahci_appear;
mod power_cut_leaves_nothing;
mod pxe_rom_starts_kernel_and_initrd;
mod pxe_rom_to_login;
mod recipes_boot;
mod root_tmpfs_by_hand;
mod screens_are_captured;
mod second_stage_asks_a_person;
mod second_stage_fails_unattended;
mod server_dies_in_mid_body_and_comes_back;
mod shell_and_back;
mod static_address;
mod watchdog_is_petted_and_left_armed;
mod wrong_digest_then_a_good_entry;
