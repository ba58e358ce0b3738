/*
 * A FUSE mount of a directory whose reads and writes fail on command: a bad disk for tests.
 *
 *     passthrough BACKING MOUNTPOINT [uncached]
 *
 * Stopped by SIGSTOP it is a disk that stalls. Each line on standard input is `read ERRNO` or
 * `write ERRNO` (0: works again) and is answered by `ok`; "read" stands for the bytes of files,
 * "write" for these, fsync, fallocate and every change of a name or an attribute. With `uncached`
 * the kernel keeps no pages of the files (and shared mappings do not work): for disk images.
 * It ends with its parent, so that nobody hangs on it for ever.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int backing;
static int uncached;
static atomic_int read_error, write_error;

#define READS do { int e = read_error; if (e) return -e; } while (0)
#define WRITES do { int e = write_error; if (e) return -e; } while (0)
#define CHECK(call) ((call) < 0 ? -errno : 0)

/* Paths come as "/a/b"; "." is the mountpoint itself. There are none where a file is open. */
static const char *below(const char *path) { return path[1] ? path + 1 : "."; }

static void *start(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->use_ino = 1;
    config->nullpath_ok = 1;
    config->hard_remove = 1;
    config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
    return NULL;
}

static int do_getattr(const char *path, struct stat *out, struct fuse_file_info *file)
{
    if (file)
        return CHECK(fstat(file->fh, out));
    return CHECK(fstatat(backing, below(path), out, AT_SYMLINK_NOFOLLOW));
}

static int do_opendir(const char *path, struct fuse_file_info *file)
{
    DIR *directory;
    int fd = openat(backing, below(path), O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return -errno;
    if (!(directory = fdopendir(fd))) {
        close(fd);
        return -ENOMEM;
    }
    file->fh = (uintptr_t)directory;
    return 0;
}

static int do_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    DIR *directory = (DIR *)(uintptr_t)file->fh;
    struct dirent *entry;
    (void)path, (void)offset, (void)flags;
    rewinddir(directory);
    while ((entry = readdir(directory)))
        fill(buffer, entry->d_name, NULL, 0, 0);
    return 0;
}

static int do_releasedir(const char *path, struct fuse_file_info *file)
{
    (void)path;
    return CHECK(closedir((DIR *)(uintptr_t)file->fh));
}

static int open_file(const char *path, int flags, mode_t mode, struct fuse_file_info *file)
{
    /* The requests' buffers are not aligned for O_DIRECT; O_APPEND is the kernel's work. */
    int fd = openat(backing, below(path), flags & ~(O_DIRECT | O_APPEND | O_NOFOLLOW), mode);
    if (fd < 0)
        return -errno;
    file->fh = fd;
    file->direct_io = uncached;
    return 0;
}

static int do_open(const char *path, struct fuse_file_info *file)
{
    return open_file(path, file->flags, 0, file);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *file)
{
    WRITES;
    return open_file(path, file->flags | O_CREAT, mode, file);
}

static int do_read(const char *path, char *out, size_t size, off_t offset,
                   struct fuse_file_info *file)
{
    (void)path;
    READS;
    ssize_t n = pread(file->fh, out, size, offset);
    return n < 0 ? -errno : n;
}

static int do_write(const char *path, const char *data, size_t size, off_t offset,
                    struct fuse_file_info *file)
{
    (void)path;
    WRITES;
    ssize_t n = pwrite(file->fh, data, size, offset);
    return n < 0 ? -errno : n;
}

static int do_fallocate(const char *path, int mode, off_t offset, off_t length,
                        struct fuse_file_info *file)
{
    (void)path;
    WRITES;
    return CHECK(fallocate(file->fh, mode, offset, length));
}

static int do_fsync(const char *path, int datasync, struct fuse_file_info *file)
{
    (void)path;
    WRITES;
    return CHECK(datasync ? fdatasync(file->fh) : fsync(file->fh));
}

static int do_fsyncdir(const char *path, int datasync, struct fuse_file_info *file)
{
    (void)path, (void)datasync, (void)file;
    WRITES;
    return CHECK(syncfs(backing));
}

static int do_release(const char *path, struct fuse_file_info *file)
{
    (void)path;
    return CHECK(close(file->fh));
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *file)
{
    WRITES;
    if (file)
        return CHECK(ftruncate(file->fh, size));
    int fd = openat(backing, below(path), O_WRONLY);
    if (fd < 0)
        return -errno;
    int result = CHECK(ftruncate(fd, size));
    close(fd);
    return result;
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *file)
{
    WRITES;
    return file ? CHECK(fchmod(file->fh, mode)) : CHECK(fchmodat(backing, below(path), mode, 0));
}

static int do_utimens(const char *path, const struct timespec times[2],
                      struct fuse_file_info *file)
{
    WRITES;
    return file ? CHECK(futimens(file->fh, times))
                : CHECK(utimensat(backing, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int do_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *file)
{
    WRITES;
    return file ? CHECK(fchown(file->fh, uid, gid))
                : CHECK(fchownat(backing, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int do_mkdir(const char *path, mode_t mode)
{
    WRITES;
    return CHECK(mkdirat(backing, below(path), mode));
}

static int do_unlink(const char *path)
{
    WRITES;
    return CHECK(unlinkat(backing, below(path), 0));
}

static int do_rmdir(const char *path)
{
    WRITES;
    return CHECK(unlinkat(backing, below(path), AT_REMOVEDIR));
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
    WRITES;
    return CHECK(renameat2(backing, below(from), backing, below(to), flags));
}

static int do_statfs(const char *path, struct statvfs *out)
{
    (void)path;
    return CHECK(fstatvfs(backing, out));
}

static void *obey(void *unused)
{
    char what[8];
    int number;
    while (scanf("%7s %d", what, &number) == 2) {
        atomic_store(strcmp(what, "read") ? &write_error : &read_error, number);
        puts("ok");
        fflush(stdout);
    }
    return unused;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations operations = {
        .init = start, .getattr = do_getattr, .opendir = do_opendir, .readdir = do_readdir,
        .releasedir = do_releasedir, .open = do_open,
        .create = do_create, .read = do_read, .write = do_write, .fallocate = do_fallocate,
        .fsync = do_fsync, .fsyncdir = do_fsyncdir, .release = do_release,
        .truncate = do_truncate, .chmod = do_chmod, .utimens = do_utimens, .chown = do_chown,
        .mkdir = do_mkdir, .unlink = do_unlink, .rmdir = do_rmdir, .rename = do_rename,
        .statfs = do_statfs,
    };
    char *arguments[] = {argv[0], argv[2], "-f", "-osubtype=testdisk,fsname=testdisk", NULL};
    pthread_t commands;
    if (argc < 3 || (backing = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0)
        return 2;
    uncached = argc > 3;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pthread_create(&commands, NULL, obey, NULL))
        return 2;
    return fuse_main(4, arguments, &operations, NULL);
}
