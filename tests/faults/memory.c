// SPDX-License-Identifier: Apache-2.0
// Failing memory: calls of malloc and its kin that the program itself makes. A library's own are
// left alone: C++ would end the process over them, whatever the program does.
#include "faults.h"

#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

// The C library's own, by the names under which it has them for whoever replaces the others.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static uintptr_t code_begin, code_end; // of the program

static int find_program(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_X)) {
            code_begin = info->dlpi_addr + header->p_vaddr;
            code_end = code_begin + header->p_memsz;
        }
    }
    return 1; // the program is the first
}

__attribute__((constructor)) static void begin(void)
{
    (void)dl_iterate_phdr(find_program, NULL);
}

static bool must_fail(const void *caller)
{
    uintptr_t address = (uintptr_t)caller;
    return address >= code_begin && address < code_end && faults_fails(FAULTS_CALL_MALLOC, NULL);
}

void *malloc(size_t size)
{
    return must_fail(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return must_fail(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return must_fail(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return must_fail(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    if (must_fail(__builtin_return_address(0)))
        return ENOMEM;
    void *memory = __libc_memalign(alignment, size);
    if (!memory)
        return ENOMEM;
    *ret = memory;
    return 0;
}
