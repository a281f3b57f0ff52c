/* Included before the first line of os_linux.c: its system calls go to fake_kernel.c. */
#ifndef UNIT_FAKE_SYSCALL_H
#define UNIT_FAKE_SYSCALL_H

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fake_kernel.h"
#include "os_syscall.h"

#define raw_syscall6 fake_syscall6
#define mmap fake_mmap
#define mremap fake_mremap
#define ftruncate fake_ftruncate
#define clock_gettime fake_clock_gettime

#endif
