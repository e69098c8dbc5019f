// SPDX-License-Identifier: Apache-2.0
// Finds damage in RocksDB's log files before RocksDB replays them.
//
// A log that ends in a torn record is what a crash leaves, and replay stops there: rightly, nobody
// was promised what follows. But replay stops at a flipped bit just the same, and silently drops
// acknowledged writes behind it. Both can be told apart: behind a torn record of a log that is
// synced write by write nothing can be intact. So: an intact record behind a broken one is damage,
// as is a record whose checksum is right for another length than the one it states.
//
// A log file is a sequence of 32 KiB blocks. A record lies in one block or, in fragments, in
// several; a block's rest that is too small for a header is zero.
//
//   offset  size  content of a fragment
//   0       4     masked CRC-32C (RFC 3720, B.4) over what follows the length
//   4       2     bytes of data, little endian
//   6       1     1 whole, 2 first, 3 middle, 4 last fragment; + 4: in a file that may have been
//                 recycled, then also
//   7       4     low half of the log's number; another number: left over from an earlier log
//   7, 11         data
#include "store/rocksdb_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK_SIZE = 32768,
    HEADER_SIZE = 7,
    HEADER_RECYCLABLE_SIZE = 11,
    FILES_MAX = 4096,
    FILE_NAME_MAX = 32,
};

enum fragment { WHOLE = 1, FIRST, MIDDLE, LAST, RECYCLABLE = 4 };
enum finding { INTACT, LEFT_OVER, BROKEN };

struct scan {
    uint32_t crc_table[8][256];
    uint32_t number;    // of the log being read
    bool broken;        // something broken has been seen, in this log or in one before
    bool in_record;     // behind it: the fragments of one record so far are intact
    const char *damage; // static; what gives it away
};

// ---- CRC-32C, eight bytes a step

static void crc_init(uint32_t table[8][256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
        table[0][i] = crc;
    }
    for (int slice = 1; slice < 8; slice++)
        for (uint32_t i = 0; i < 256; i++)
            table[slice][i] = table[slice - 1][i] >> 8 ^ table[0][table[slice - 1][i] & 0xFF];
}

// `crc` starts as 0xFFFFFFFF and is inverted at the end.
static uint32_t crc_update(const struct scan *scan, uint32_t crc, const uint8_t *data, size_t size)
{
    const uint32_t(*table)[256] = scan->crc_table;
    for (; size >= 8; size -= 8, data += 8) {
        crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
               (uint32_t)data[3] << 24;
        crc = table[7][crc & 0xFF] ^ table[6][crc >> 8 & 0xFF] ^ table[5][crc >> 16 & 0xFF] ^
              table[4][crc >> 24] ^ table[3][data[4]] ^ table[2][data[5]] ^ table[1][data[6]] ^
              table[0][data[7]];
    }
    for (; size > 0; size--, data++)
        crc = crc >> 8 ^ table[0][(crc ^ *data) & 0xFF];
    return crc;
}

static uint32_t crc_masked(uint32_t crc)
{
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xA282EAD8U;
}

// ---- Fragments

static uint32_t get_u32le(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static size_t header_size(uint8_t type)
{
    return type > RECYCLABLE ? HEADER_RECYCLABLE_SIZE : HEADER_SIZE;
}

static bool is_type(uint8_t type)
{
    return type >= WHOLE && type <= RECYCLABLE + LAST;
}

static enum finding read_fragment(const struct scan *scan, const uint8_t *at, size_t size,
                                  size_t *ret_size)
{
    uint8_t type = at[6];
    size_t total = header_size(type) + ((size_t)at[4] | (size_t)at[5] << 8);
    if (!is_type(type) || total > size)
        return BROKEN;
    if (crc_masked(crc_update(scan, UINT32_MAX, at + 6, total - 6)) != get_u32le(at))
        return BROKEN;
    *ret_size = total;
    return type > RECYCLABLE && get_u32le(at + HEADER_SIZE) != scan->number ? LEFT_OVER : INTACT;
}

static bool fits_another_length(const struct scan *scan, const uint8_t *at, size_t size)
{
    uint8_t type = at[6];
    size_t header = header_size(type);
    if (!is_type(type) || header > size)
        return false;
    if (type > RECYCLABLE && get_u32le(at + HEADER_SIZE) != scan->number)
        return false;
    uint32_t wanted = get_u32le(at);
    uint32_t crc = crc_update(scan, UINT32_MAX, at + 6, header - 6);
    for (size_t total = header;; total++) {
        if (crc_masked(crc) == wanted)
            return true;
        if (total == size)
            return false;
        crc = crc_update(scan, crc, at + total, 1);
    }
}

// An intact fragment behind something broken: does it complete an intact record?
static void see_intact(struct scan *scan, uint8_t type)
{
    switch (type > RECYCLABLE ? type - RECYCLABLE : type) {
    case WHOLE:
        scan->damage = "intact records follow a broken one";
        break;
    case FIRST:
        scan->in_record = true;
        break;
    case LAST:
        if (scan->in_record)
            scan->damage = "intact records follow a broken one";
        scan->in_record = false;
        break;
    default:
        break;
    }
}

static bool is_padding(const uint8_t *at, size_t size)
{
    static const uint8_t zero[HEADER_RECYCLABLE_SIZE];
    return size < sizeof(zero) && memcmp(at, zero, size) == 0;
}

static void scan_block(struct scan *scan, const uint8_t *block, size_t size)
{
    for (size_t at = 0; size - at >= HEADER_SIZE && !scan->damage;) {
        size_t advance = 1; // behind something broken a record may begin anywhere
        if (is_padding(block + at, size - at))
            return;
        switch (read_fragment(scan, block + at, size - at, &advance)) {
        case INTACT:
            if (scan->broken)
                see_intact(scan, block[at + 6]);
            break;
        case LEFT_OVER:
            scan->broken = true;
            scan->in_record = false;
            break;
        case BROKEN:
            if (!scan->broken && fits_another_length(scan, block + at, size - at))
                scan->damage = "a record states a wrong length";
            scan->broken = true;
            scan->in_record = false;
            break;
        }
        at += advance;
    }
}

// ---- Files

static int read_block(int fd, uint8_t block[static BLOCK_SIZE], size_t *ret_size)
{
    size_t size = 0;
    while (size < BLOCK_SIZE) {
        ssize_t n = read(fd, block + size, BLOCK_SIZE - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kvs_err_from_errno(errno);
        if (n == 0)
            break;
        size += (size_t)n;
    }
    *ret_size = size;
    return 0;
}

static int scan_file(struct scan *scan, int dir_fd, const char *name, struct kvs_message *message)
{
    KVS_CLEANUP(kvs_closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kvs_fail(message, kvs_err_from_errno(errno), "open %s: %s", name, strerror(errno));
    uint8_t block[BLOCK_SIZE];
    for (;;) {
        size_t size = 0;
        int err = read_block(fd, block, &size);
        if (err)
            return kvs_fail(message, err, "read %s: %s", name, kvs_err_text(err));
        if (size == 0)
            return 0;
        scan_block(scan, block, size);
        if (scan->damage)
            return kvs_fail(message, KVS_ERR_CORRUPT, "%s is damaged (%s)", name, scan->damage);
    }
}

struct log_file {
    uint64_t number;
    char name[FILE_NAME_MAX];
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = ((const struct log_file *)a)->number, y = ((const struct log_file *)b)->number;
    return (x > y) - (x < y);
}

static bool parse_name(const char *name, struct log_file *ret_file)
{
    struct kvs_slice stem = kvs_slice_from_str(name);
    if (stem.size >= FILE_NAME_MAX || !kvs_slice_ends_with(stem, KVS_SLICE(".log")))
        return false;
    stem.size -= strlen(".log");
    memcpy(ret_file->name, name, strlen(name) + 1);
    return kvs_slice_to_u64(stem, &ret_file->number);
}

static void closedirp(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir); // read-only
    *dir = NULL;
}

static DIR *open_dir(int dir_fd)
{
    KVS_CLEANUP(kvs_closep) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir)
        fd = -1; // it is the directory's now
    return dir;
}

// The write-ahead logs in `dir_fd` by number.
static int list_logs(int dir_fd, struct log_file **ret_files, size_t *ret_count)
{
    KVS_CLEANUP(closedirp) DIR *dir = open_dir(dir_fd);
    if (!dir)
        return kvs_err_from_errno(errno);
    KVS_CLEANUP(kvs_freep) struct log_file *files = malloc(FILES_MAX * sizeof(*files));
    if (!files)
        return KVS_ERR_NOMEM;
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (parse_name(entry->d_name, &files[count]) && ++count == FILES_MAX)
            return KVS_ERR_TOO_LARGE;
    qsort(files, count, sizeof(*files), compare_numbers);
    *ret_files = KVS_TAKE(files);
    *ret_count = count;
    return 0;
}

int kvs_rocksdb_log_bytes(int dir_fd, uint64_t *ret_bytes)
{
    KVS_CLEANUP(kvs_freep) struct log_file *files = NULL;
    size_t count = 0;
    int err = list_logs(dir_fd, &files, &count);
    uint64_t bytes = 0;
    for (size_t i = 0; !err && i < count; i++) {
        struct stat status;
        if (fstatat(dir_fd, files[i].name, &status, 0) != 0)
            err = kvs_err_from_errno(errno);
        else
            bytes += (uint64_t)status.st_size;
    }
    *ret_bytes = bytes;
    return err;
}

int kvs_rocksdb_newest_log(int dir_fd, uint64_t *ret_number)
{
    KVS_CLEANUP(kvs_freep) struct log_file *files = NULL;
    size_t count = 0;
    int err = list_logs(dir_fd, &files, &count);
    *ret_number = count > 0 ? files[count - 1].number : 0;
    return err;
}

int kvs_rocksdb_delete_logs(int dir_fd, uint64_t up_to)
{
    KVS_CLEANUP(kvs_freep) struct log_file *files = NULL;
    size_t count = 0;
    int err = list_logs(dir_fd, &files, &count);
    for (size_t i = 0; !err && i < count && files[i].number <= up_to; i++)
        if (unlinkat(dir_fd, files[i].name, 0) != 0 && errno != ENOENT) // RocksDB was faster
            err = kvs_err_from_errno(errno);
    if (!err && up_to > 0 && fsync(dir_fd) != 0)
        err = kvs_err_from_errno(errno);
    return err;
}

static int check_logs(struct scan *scan, int dir_fd, struct kvs_message *message)
{
    KVS_CLEANUP(kvs_freep) struct log_file *files = NULL;
    size_t count = 0;
    int err = list_logs(dir_fd, &files, &count);
    if (err)
        return kvs_fail(message, err, "list the write-ahead logs: %s", kvs_err_text(err));
    for (size_t i = 0; !err && i < count; i++) {
        scan->number = (uint32_t)files[i].number;
        err = scan_file(scan, dir_fd, files[i].name, message);
    }
    return err;
}

// Without CURRENT RocksDB would begin afresh, and delete tables that nobody knows any more.
static int check_nothing_stored(int dir_fd, struct kvs_message *message)
{
    KVS_CLEANUP(closedirp) DIR *dir = open_dir(dir_fd);
    if (!dir)
        return kvs_fail(message, kvs_err_from_errno(errno), "list files: %s", strerror(errno));
    for (const struct dirent *entry; (entry = readdir(dir));) {
        struct kvs_slice name = kvs_slice_from_str(entry->d_name);
        if (kvs_slice_ends_with(name, KVS_SLICE(".sst")) ||
            kvs_slice_ends_with(name, KVS_SLICE(".log")))
            return kvs_fail(message, KVS_ERR_CORRUPT, "CURRENT is missing");
    }
    return 0;
}

static int check_manifest(struct scan *scan, int dir_fd, struct kvs_message *message)
{
    KVS_CLEANUP(kvs_closep) int fd = openat(dir_fd, "CURRENT", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return check_nothing_stored(dir_fd, message);
    if (fd < 0)
        return kvs_fail(message, kvs_err_from_errno(errno), "open CURRENT: %s", strerror(errno));
    char name[FILE_NAME_MAX + 1] = "";
    ssize_t size = read(fd, name, FILE_NAME_MAX);
    char *newline = strchr(name, '\n');
    if (size < 0 || !newline || strncmp(name, "MANIFEST-", 9) != 0)
        return kvs_fail(message, KVS_ERR_CORRUPT, "CURRENT is damaged");
    *newline = '\0';
    if (faccessat(dir_fd, name, F_OK, 0) != 0)
        return kvs_fail(message, KVS_ERR_CORRUPT, "CURRENT names a file that is missing");
    return scan_file(scan, dir_fd, name, message);
}

int kvs_rocksdb_check_logs(int dir_fd, bool holes_allowed, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) struct scan *scan = calloc(1, sizeof(*scan));
    if (!scan)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    crc_init(scan->crc_table);
    int err = check_manifest(scan, dir_fd, ret_message);
    scan->broken = false;
    scan->in_record = false;
    return err || holes_allowed ? err : check_logs(scan, dir_fd, ret_message);
}
