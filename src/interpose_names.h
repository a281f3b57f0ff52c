/* The functions that are wrapped, by which the next definition of each is kept (see interpose.h). */
#ifndef MESH_INTERPOSE_NAMES_H
#define MESH_INTERPOSE_NAMES_H

#define REAL_NAMES(X) X(_Fork) X(_IO_sgetn) X(__fread_chk) X(__fread_unlocked_chk) X(__fxstat) X(__fxstat64) \
  X(__fxstatat) X(__fxstatat64) X(__getcwd_chk) X(__getgroups_chk) X(__lxstat) X(__lxstat64) X(__open64_2) \
  X(__open_2) X(__openat64_2) X(__openat_2) X(__poll_chk) X(__ppoll_chk) X(__pread64_chk) X(__pread_chk) \
  X(__read_chk) X(__readlink_chk) X(__readlinkat_chk) X(__realpath_chk) X(__recv_chk) X(__recvfrom_chk) \
  X(__register_atfork) X(__res_nquery) X(__res_nquerydomain) X(__res_nsearch) X(__res_nsend) X(__res_query) \
  X(__res_querydomain) X(__res_search) X(__res_send) X(__ttyname_r_chk) X(__xstat) X(__xstat64) X(accept) \
  X(accept4) X(adjtimex) X(aio_fsync) X(aio_fsync64) X(aio_read) X(aio_read64) X(aio_write) X(aio_write64) \
  X(arc4random_buf) X(canonicalize_file_name) X(capget) X(clock_adjtime) X(clock_getres) X(clock_gettime) \
  X(clock_nanosleep) X(clone) X(close) X(close_range) X(closefrom) X(copy_file_range) X(dlmopen) X(dlopen) \
  X(dup) X(dup2) X(dup3) X(epoll_pwait) X(epoll_pwait2) X(epoll_wait) X(eventfd_read) X(fcntl) X(fcntl64) \
  X(fgetxattr) X(flistxattr) \
  X(fork) X(fread) X(fread_unlocked) X(fstat) X(fstat64) X(fstatat) X(fstatat64) X(fstatfs) X(fstatfs64) \
  X(fts64_children) X(fts64_open) X(fts64_read) X(fts_children) X(fts_open) X(fts_read) \
  X(get_current_dir_name) X(getaddrinfo_a) X(getcwd) X(getdents64) X(getdirentries) X(getdirentries64) \
  X(getentropy) X(getgroups) X(getitimer) X(getpeername) X(getrandom) X(getresgid) X(getresuid) X(getrlimit) \
  X(getrlimit64) X(getrusage) X(getsockname) X(getsockopt) X(gettimeofday) X(getxattr) X(ioctl) X(klogctl) \
  X(lgetxattr) X(lio_listio) X(lio_listio64) X(listxattr) X(llistxattr) X(lstat) X(lstat64) X(mincore) \
  X(mq_getattr) X(mq_notify) X(mq_receive) X(mq_setattr) X(mq_timedreceive) \
  X(msgctl) X(msgrcv) X(name_to_handle_at) X(nanosleep) X(ntp_adjtime) X(open) \
  X(open64) X(openat) X(openat64) X(pipe) X(pipe2) X(poll) X(popen) X(posix_spawn) X(posix_spawnp) X(ppoll) \
  X(prctl) X(pread) X(pread64) X(preadv) X(preadv2) X(preadv64) X(preadv64v2) X(prlimit) X(prlimit64) \
  X(process_vm_readv) X(process_vm_writev) X(pselect) X(pthread_attr_setsigmask_np) X(pthread_barrier_init) \
  X(pthread_cond_init) X(pthread_create) X(pthread_getaffinity_np) X(pthread_getattr_np) X(pthread_getname_np) \
  X(pthread_mutex_init) X(pthread_rwlock_init) X(pthread_sigmask) X(ptrace) X(quotactl) X(read) X(readlink) \
  X(readlinkat) X(readv) X(realpath) X(recv) X(recvfrom) X(recvmmsg) X(recvmsg) X(res_nquery) \
  X(res_nquerydomain) X(res_nsearch) X(res_nsend) X(res_query) X(res_querydomain) X(res_search) X(res_send) \
  X(sched_getaffinity) X(sched_getparam) X(sched_rr_get_interval) X(select) X(sem_init) X(semctl) X(sendfile) \
  X(sendfile64) X(sendmmsg) X(setcontext) X(setitimer) X(setrlimit) X(setrlimit64) X(setvbuf) X(shmctl) \
  X(sigaction) X(sigaltstack) X(siginterrupt) X(signal) X(sigpending) X(sigprocmask) X(sigset) X(sigsuspend) \
  X(sigtimedwait) X(sigwait) X(sigwaitinfo) X(socketpair) X(splice) X(stat) X(stat64) X(statfs) X(statfs64) \
  X(statx) X(swapcontext) X(syscall) X(sysinfo) X(sysv_signal) X(thrd_create) X(timer_create) X(timer_gettime) \
  X(timer_settime) X(timerfd_gettime) X(timerfd_settime) X(times) X(timespec_get) X(ttyname_r) X(uname) \
  X(vmsplice) X(wait) X(wait3) X(wait4) X(waitid) X(waitpid)

#endif
