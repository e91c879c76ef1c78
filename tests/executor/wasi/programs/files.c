// Exercises files, directories, links and times through wasi-libc; every failed check prints its line and exits 1.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHECK(condition) \
  do { if (!(condition)) { fprintf(stderr, "line %d: %s (errno %d %s)\n", __LINE__, #condition, errno, strerror(errno)); exit(1); } } while (0)

static void stdio_and_seek(void) {
  FILE *file = fopen("/tmp/a.txt", "w+");
  CHECK(file);
  for (int i = 0; i < 1000; i++) CHECK(fprintf(file, "line %04d\n", i) == 10);
  CHECK(fflush(file) == 0 && ftell(file) == 10000);
  CHECK(fseek(file, 5000, SEEK_SET) == 0);
  char line[32];
  CHECK(fgets(line, sizeof line, file) && strcmp(line, "line 0500\n") == 0);
  CHECK(fclose(file) == 0);
  CHECK((file = fopen("/tmp/a.txt", "a")) && fputs("end\n", file) >= 0 && fclose(file) == 0);
  struct stat st;
  CHECK(stat("/tmp/a.txt", &st) == 0 && st.st_size == 10004 && S_ISREG(st.st_mode));
  CHECK(stat("a.txt", &st) == 0 && st.st_size == 10004);  // the working directory is the same place
}

static void descriptors(void) {
  int fd = open("rel.bin", O_CREAT | O_EXCL | O_RDWR, 0644);
  CHECK(fd >= 0);
  CHECK(open("rel.bin", O_CREAT | O_EXCL | O_RDWR, 0644) == -1 && errno == EEXIST);
  CHECK(pwrite(fd, "xyz", 3, 10) == 3 && lseek(fd, 0, SEEK_CUR) == 0);
  char buffer[13];
  CHECK(pread(fd, buffer, 13, 0) == 13 && buffer[0] == 0 && memcmp(buffer + 10, "xyz", 3) == 0);
  struct iovec parts[2] = {{"ab", 2}, {"cd", 2}};
  CHECK(writev(fd, parts, 2) == 4 && lseek(fd, 0, SEEK_CUR) == 4);
  CHECK(ftruncate(fd, 5) == 0 && lseek(fd, 0, SEEK_END) == 5);
  CHECK(posix_fallocate(fd, 0, 100) == 0 && lseek(fd, 0, SEEK_END) == 100);
  CHECK(fcntl(fd, F_GETFL) == O_RDWR);
  CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "!", 1) == 1);
  struct stat st;
  CHECK(fstat(fd, &st) == 0 && st.st_size == 101);
  struct timespec times[2] = {{1000, 5}, {2000, 7}};
  CHECK(futimens(fd, times) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 7);
  CHECK(close(fd) == 0 && close(fd) == -1 && errno == EBADF);
  CHECK((fd = open("rel.bin", O_WRONLY)) >= 0 && read(fd, buffer, 1) == -1 && errno == EBADF && close(fd) == 0);
  CHECK((fd = open("rel.bin", O_RDONLY)) >= 0 && write(fd, buffer, 1) == -1 && errno == EBADF && close(fd) == 0);
  CHECK(open("rel.bin", O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
  CHECK(!isatty(0) && !isatty(1) && !isatty(2));
}

static void directories(void) {
  CHECK(mkdir("/tmp/d", 0755) == 0 && mkdir("/tmp/d", 0755) == -1 && errno == EEXIST);
  for (int i = 0; i < 300; i++) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/d/a-rather-long-name-%d", i);
    int fd = open(name, O_CREAT | O_WRONLY, 0644);
    CHECK(fd >= 0 && close(fd) == 0);
  }
  DIR *dir = opendir("/tmp/d");
  CHECK(dir);
  int seen = 0;
  long middle = 0;
  char after[64] = "";
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') continue;
    CHECK(entry->d_type == DT_REG);
    if (seen == 151) strcpy(after, entry->d_name);
    if (++seen == 151) middle = telldir(dir);
  }
  CHECK(seen == 300);
  seekdir(dir, middle);
  struct dirent *again = readdir(dir);
  CHECK(again && strcmp(again->d_name, after) == 0);
  rewinddir(dir);
  CHECK(readdir(dir) && closedir(dir) == 0);
  CHECK(rmdir("/tmp/d") == -1 && errno == ENOTEMPTY);
  for (int i = 0; i < 300; i++) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/d/a-rather-long-name-%d", i);
    CHECK(unlink(name) == 0);
  }
  CHECK(unlink("/tmp/d") == -1 && rmdir("/tmp/d") == 0 && opendir("/tmp/d") == NULL && errno == ENOENT);
}

static void names(void) {
  CHECK(mkdir("n", 0755) == 0 && symlink("a.txt", "link") == 0);
  char target[16];
  CHECK(readlink("link", target, sizeof target) == 5 && memcmp(target, "a.txt", 5) == 0);
  struct stat st;
  CHECK(lstat("link", &st) == 0 && S_ISLNK(st.st_mode) && stat("link", &st) == 0 && st.st_size == 10004);
  CHECK(open("link", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
  CHECK(link("a.txt", "n/hard") == 0 && stat("n/hard", &st) == 0 && st.st_nlink == 2);
  CHECK(rename("n/hard", "n/moved") == 0 && rename("n", "m") == 0 && access("m/moved", R_OK) == 0);
  CHECK(symlink("/etc/passwd", "bad") == -1 && errno == EPERM && symlink("../x", "bad") == -1 && errno == EPERM);
  CHECK(open("../outside", O_RDONLY) == -1 && open("/tmp/../../etc/passwd", O_RDONLY) == -1);
  CHECK(unlink("a.txt/") == -1 && errno == ENOTDIR);
  CHECK(unlink("m/moved") == 0 && rmdir("m/") == 0 && unlink("link") == 0);
}

static void read_only(void) {
  FILE *file = fopen("/data/given.txt", "r");
  char text[32] = "";
  CHECK(file && fgets(text, sizeof text, file) && strcmp(text, "given\n") == 0 && fclose(file) == 0);
  CHECK(fopen("/data/given.txt", "w") == NULL && errno == EROFS);
  CHECK(fopen("/data/given.txt", "r+") == NULL && errno == EROFS);
  CHECK(fopen("/data/new.txt", "w") == NULL && errno == EROFS);
  CHECK(mkdir("/data/x", 0755) == -1 && errno == EROFS && unlink("/data/given.txt") == -1 && errno == EROFS);
  CHECK(rename("/data/given.txt", "/data/b") == -1 && rename("/data/given.txt", "/tmp/b") == -1);
  CHECK(truncate("/data/given.txt", 0) == -1 && utimensat(AT_FDCWD, "/data/given.txt", NULL, 0) == -1);
  CHECK(open("/data/fifo", O_RDONLY) == -1 && open("/data/out", O_RDONLY) == -1 && errno == EPERM);
}

int main(void) {
  stdio_and_seek();
  descriptors();
  directories();
  names();
  read_only();
  puts("ok");
  return 0;
}
