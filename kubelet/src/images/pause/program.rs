//! The program of a sandbox, written in machine code: it holds the pod's namespaces, does nothing and is tiny.
//!
//! What it does, in C:
//!
//! ```c
//! rt_sigaction(SIGCHLD, {SIG_IGN}, 0, 8);   // whoever is orphaned in the pod is reaped by the kernel
//! rt_sigaction(SIGINT,  {leave},   0, 8);   // the first process of a namespace has no default actions
//! rt_sigaction(SIGTERM, {leave},   0, 8);
//! for (;;) pause();
//! leave: exit(0);
//! ```
//!
//! A static ELF file of one segment: headers, code, and the two `struct kernel_sigaction` (handler, flags, restorer,
//! mask, 8 bytes each).

const BASE: u64 = 0x40_0000;
/// The ELF header (64 bytes) and one program header (56); the code comes right after.
const HEADERS: u64 = 64 + 56;
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;
const SIGCHLD: u8 = 17;
const SIG_IGN: u64 = 1;
const SA_RESTORER: u64 = 0x0400_0000;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;

/// Makes the code, and tells the address of `leave`; takes the address of the two actions.
type Assemble = fn(u64) -> (Vec<u8>, u64);

/// The file for an architecture as Go names it (`amd64`, `arm64`); nothing for others.
pub fn file(architecture: &str) -> Option<Vec<u8>> {
    let (machine, page, code): (_, _, Assemble) = match architecture {
        "amd64" => (EM_X86_64, 0x1000, x86_64),
        "arm64" => (EM_AARCH64, 0x1_0000, aarch64),
        _ => return None,
    };
    // The length does not depend on the addresses: once to measure, once in earnest.
    let data = BASE + HEADERS + code(0).0.len() as u64;
    let (code, leave) = code(data);
    let mut file = headers(machine, page, code.len() as u64 + 64);
    file.extend(code);
    for field in [SIG_IGN, 0, 0, 0, leave, SA_RESTORER, leave, 0] {
        file.extend(field.to_le_bytes());
    }
    Some(file)
}

fn headers(machine: u16, page: u64, content: u64) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    put(&2_u16.to_le_bytes()); // an executable
    put(&machine.to_le_bytes());
    put(&1_u32.to_le_bytes());
    put(&(BASE + HEADERS).to_le_bytes()); // where it begins
    put(&64_u64.to_le_bytes()); // the program header's place
    put(&0_u64.to_le_bytes()); // no sections
    put(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        put(&half.to_le_bytes());
    }
    put(&1_u32.to_le_bytes()); // to be loaded,
    put(&5_u32.to_le_bytes()); // to be read and run
    for word in [0, BASE, BASE, HEADERS + content, HEADERS + content, page] {
        put(&word.to_le_bytes());
    }
    out
}

fn x86_64(data: u64) -> (Vec<u8>, u64) {
    let mut code = Vec::new();
    for (signal, action) in [(SIGCHLD, data), (SIGINT, data + 32), (SIGTERM, data + 32)] {
        code.extend([0xb8, 13, 0, 0, 0]); // mov eax, 13 (rt_sigaction)
        code.extend([0xbf, signal, 0, 0, 0]); // mov edi, signal
        code.push(0xbe); // mov esi, action
        code.extend(&action.to_le_bytes()[..4]);
        code.extend([0x31, 0xd2]); // xor edx, edx
        code.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8
        code.extend([0x0f, 0x05]); // syscall
    }
    code.extend([0xb8, 34, 0, 0, 0, 0x0f, 0x05]); // mov eax, 34 (pause); syscall
    code.extend([0xeb, 0xf7]); // jmp 9 bytes back
    let leave = BASE + HEADERS + code.len() as u64;
    code.extend([0xb8, 231, 0, 0, 0]); // mov eax, 231 (exit_group)
    code.extend([0x31, 0xff, 0x0f, 0x05]); // xor edi, edi; syscall
    code.extend([0x90; 3]); // to a multiple of eight
    (code, leave)
}

/// This architecture has no `pause`; `ppoll` of nothing is the same.
fn aarch64(data: u64) -> (Vec<u8>, u64) {
    const SYSCALL: u32 = 0xd400_0001;
    let set = |register: u32, value: u32| 0xd280_0000 | value << 5 | register; // movz
    let mut code: Vec<u32> = Vec::new();
    for (signal, action) in [(SIGCHLD, data), (SIGINT, data + 32), (SIGTERM, data + 32)] {
        code.push(set(0, u32::from(signal)));
        let here = BASE + HEADERS + code.len() as u64 * 4;
        let distance = u32::try_from(action.saturating_sub(here) & 0x1f_ffff).unwrap_or(0);
        code.push(0x1000_0000 | (distance & 3) << 29 | (distance >> 2) << 5 | 1); // adr x1, action
        code.extend([set(2, 0), set(3, 8), set(8, 134), SYSCALL]);
    }
    code.extend([set(0, 0), set(1, 0), set(2, 0), set(3, 0), set(8, 73), SYSCALL]);
    code.push(0x1400_0000 | (0x03ff_ffff & (-6_i32).cast_unsigned())); // b, six instructions back
    let leave = BASE + HEADERS + code.len() as u64 * 4;
    code.extend([set(0, 0), set(8, 94), SYSCALL]);
    (code.into_iter().flat_map(u32::to_le_bytes).collect(), leave)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    #[test]
    fn both_programs_are_small_and_whole() {
        for architecture in ["amd64", "arm64"] {
            let file = file(architecture).unwrap();
            assert!(file.len() < 512 && file.len().is_multiple_of(8), "{architecture}: {}", file.len());
            let size = u64::from_le_bytes(file[96..104].try_into().unwrap());
            assert_eq!(size, file.len() as u64);
        }
        assert_eq!(file("riscv64"), None);
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[test]
    fn it_waits_until_it_is_told_to_leave() {
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let path = std::env::temp_dir().join(format!("pause-{}", std::process::id()));
        std::fs::write(&path, file(architecture).unwrap()).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        // Another test that starts a process just now has the file open, for a moment.
        let mut child = loop {
            match Command::new(&path).stdin(Stdio::null()).spawn() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now()
                }
                started => break started.unwrap(),
            }
        };
        let pid = rustix::process::Pid::from_child(&child);
        let status = format!("/proc/{}/status", child.id());
        let ignores_children = || {
            let text = std::fs::read_to_string(&status).unwrap();
            let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned();
            u64::from_str_radix(&mask, 16).unwrap() & 1 << 16 != 0
        };
        while !ignores_children() {
            std::thread::yield_now();
        }
        assert!(child.try_wait().unwrap().is_none());
        // The handlers come right after.
        std::thread::sleep(std::time::Duration::from_millis(50));
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!((ended.code(), ended.signal()), (Some(0), None));
        std::fs::remove_file(path).unwrap();
    }
}
