/* A host that makes Lua states one after another, runs a script in each and closes it.
 *
 *     lua_states LIBLUA COUNT SCRIPT [THREADS]
 *
 * LIBLUA is a shared library such as liblua5.4.so.0; its symbols are made global, as those of an
 * interpreter are. The script gets the state's number as its argument and leaves the state with
 * connections in traffic; with a fourth argument, a thread of its own closes it. At the end there must be as many threads and descriptors as after the
 * first few states, and memory must not have grown by much.
 */
#define _GNU_SOURCE

#include <dirent.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct lua_State lua_State;

static lua_State *(*new_state)(void);
static void (*open_libs)(lua_State *);
static int (*load_file)(lua_State *, const char *);
static int (*load_file_x)(lua_State *, const char *, const char *);
static int (*pcall)(lua_State *, int, int, int);
static int (*pcall_k)(lua_State *, int, int, int, ptrdiff_t, void *);
static const char *(*to_string)(lua_State *, int, size_t *);
static void (*push_integer)(lua_State *, ptrdiff_t);
static void (*close_state)(lua_State *);

static void find(void *library, const char *name, void *out_function)
{
    *(void **)out_function = dlsym(library, name);
}

static int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    if (directory == NULL)
        return -1;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static long resident_kib(void)
{
    long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2)
        exit(3);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void *close_in_thread(void *state)
{
    close_state(state);
    return NULL;
}

static void run(const char *script, int number, bool in_thread)
{
    lua_State *state = new_state();
    int status;
    open_libs(state);
    status = load_file_x ? load_file_x(state, script, NULL) : load_file(state, script);
    if (status == 0) {
        push_integer(state, number);
        status = pcall_k ? pcall_k(state, 1, 0, 0, 0, NULL) : pcall(state, 1, 0, 0);
    }
    if (status != 0) {
        fprintf(stderr, "state %d: %s\n", number, to_string(state, -1, NULL));
        exit(1);
    }
    if (in_thread) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, close_in_thread, state) != 0 || pthread_join(thread, NULL) != 0)
            exit(3);
    } else {
        close_state(state);
    }
}

int main(int argc, char **argv)
{
    void *lua;
    int count, threads = 0, descriptors = 0;
    long memory = 0;
    const int warm = 20;
    if (argc != 4 && argc != 5)
        return 2;
    lua = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (lua == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    find(lua, "luaL_newstate", &new_state);
    find(lua, "luaL_openlibs", &open_libs);
    find(lua, "luaL_loadfile", &load_file);
    find(lua, "luaL_loadfilex", &load_file_x);
    find(lua, "lua_pcall", &pcall);
    find(lua, "lua_pcallk", &pcall_k);
    find(lua, "lua_tolstring", &to_string);
    find(lua, "lua_pushinteger", &push_integer);
    find(lua, "lua_close", &close_state);

    count = atoi(argv[2]);
    for (int i = 1; i <= count; i++) {
        run(argv[3], i, argc == 5);
        if (i == warm) {
            threads = count_entries("/proc/self/task");
            descriptors = count_entries("/proc/self/fd");
            memory = resident_kib();
        }
    }
    /* What closed in the background may take a moment. */
    for (int i = 0; i < 300; i++) {
        if (count_entries("/proc/self/task") <= threads &&
            count_entries("/proc/self/fd") <= descriptors)
            break;
        poll(NULL, 0, 100);
    }
    printf("%d states: threads %d -> %d, descriptors %d -> %d, memory %ld -> %ld KiB\n", count,
           threads, count_entries("/proc/self/task"), descriptors, count_entries("/proc/self/fd"),
           memory, resident_kib());
    if (count_entries("/proc/self/task") > threads)
        return 4;
    if (count_entries("/proc/self/fd") > descriptors)
        return 5;
    if (resident_kib() > memory + 8192)
        return 6;
    return 0;
}
