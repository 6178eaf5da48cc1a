//! The process may not use io_uring.
//!
//! 1. A container's seccomp filter refuses `io_uring_setup` with `EPERM`, or hides it
//!    with `ENOSYS`.
//! 2. `probe` must say so in words that tell the operator where to look, and `install`
//!    must fail rather than panic.

use penstock_uring::Ring;

use super::harness::{alone, options, runtime};

/// Has the kernel answer `io_uring_setup` with `errno`, on this thread from here on.
fn forbid(errno: i32) {
    let statement = |code: u32, jump_true, jump_false, k| libc::sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: jump_false,
        k,
    };
    let mut program = [
        // The system call's number, which is at offset 0 of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the first call takes numbers; the second reads the filter and its program,
    // which both live until it returns.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter, 0, 0),
            0
        );
    }
}

fn told(errno: i32) -> String {
    forbid(errno);
    let refused = runtime().block_on(async { Ring::install(options()) });
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(errno));
    penstock_uring::probe().unwrap_err().to_string()
}

#[test]
fn a_refusal_is_explained() {
    alone("forbidden::a_refusal_is_explained", || {
        let told = told(libc::EPERM);
        assert!(told.contains("Operation not permitted"), "{told}");
        assert!(
            told.contains("kernel.io_uring_disabled") && told.contains("seccomp"),
            "{told}"
        );
    });
}

#[test]
fn a_hidden_system_call_is_explained() {
    alone("forbidden::a_hidden_system_call_is_explained", || {
        let told = told(libc::ENOSYS);
        assert!(told.contains("no io_uring"), "{told}");
    });
}

#[test]
fn here_it_is_allowed() {
    penstock_uring::probe().unwrap();
}
