/* The hot path, compiled: the same as edge/plain_hot_path.py, which says what each part does, and which a test holds
 * it to. Optional: where it cannot be built the worker runs the Python version. Of one phase: interpreters beside the
 * first may refuse it, and then run the Python version too; a Python without the GIL takes it back.
 *
 * A request is looked up by its bytes where they lie: nothing is cut out, copied or hashed twice. Every reference
 * that is kept across a call into Python is owned. */

#define _GNU_SOURCE /* memmem */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>

enum { HOST = 0, CLOSES = 2, IS_USUAL = 4 }; /* of a Framing, the first part of a HeaderBlock */
enum { MAX_FORWARDED = 1024, MAX_BLOCK = 4096, FORWARDED_FOR = 4 };
enum { TRANSPORT = 0, FOUND = 1, DATA = 2, HEADERS = 3, TAIL = 4, ITEM_SIZE = 5 };

static PyObject *str_stale_at, *str_prefix, *str_outcome, *str_head, *str_value, *str_body, *str_write;
static PyObject *str_receive, *str_take_last;
static uint64_t seeds[3]; /* of this process, see seed_hash */

/* --- Memory: bytes -> object, bounded. A ring of entries, the next of which gives way to a newcomer, and an index by
 * hash with linear probing, at most half full; 0 in it is nobody, n the entry n - 1. --- */

typedef struct {
    uint64_t hash;
    PyObject *key, *value;
} Entry;

typedef struct {
    PyObject_HEAD
    Entry *entries;
    uint32_t *index;
    size_t limit, next, mask;
} Memory;

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Sixteen bytes a step. Phones choose the keys: without the seeds they could choose such as stand in one place of the
 * index, and make every look-up walk past them. */
static uint64_t hash_bytes(const char *data, Py_ssize_t size)
{
    uint64_t hash = seeds[0] ^ (uint64_t)size, low, high;
    for (; size > 16; data += 16, size -= 16) {
        memcpy(&low, data, 8);
        memcpy(&high, data + 8, 8);
        hash = mix(low ^ seeds[1], high ^ hash);
    }
    low = high = 0;
    memcpy(&low, data, (size_t)(size < 8 ? size : 8));
    if (size > 8)
        memcpy(&high, data + 8, (size_t)size - 8);
    return mix(mix(low ^ seeds[1], high ^ hash), seeds[2]);
}

/* Where the key stands in the index, or the gap where it would. */
static size_t probe(Memory *memory, uint64_t hash, const char *data, Py_ssize_t size)
{
    size_t at = hash & memory->mask;
    for (; memory->index[at] != 0; at = (at + 1) & memory->mask) {
        Entry *entry = &memory->entries[memory->index[at] - 1];
        if (entry->hash == hash && PyBytes_GET_SIZE(entry->key) == size
            && memcmp(PyBytes_AS_STRING(entry->key), data, (size_t)size) == 0)
            break;
    }
    return at;
}

/* Borrowed, or NULL without an error. */
static PyObject *memory_find(Memory *memory, const char *data, Py_ssize_t size)
{
    uint32_t number = memory->index[probe(memory, hash_bytes(data, size), data, size)];
    return number == 0 ? NULL : memory->entries[number - 1].value;
}

/* Takes an entry out of the index; those behind it that it had pushed on move up. */
static void unlink_entry(Memory *memory, Entry *entry)
{
    size_t gap = probe(memory, entry->hash, PyBytes_AS_STRING(entry->key), PyBytes_GET_SIZE(entry->key));
    for (size_t at = (gap + 1) & memory->mask; memory->index[at] != 0; at = (at + 1) & memory->mask) {
        size_t home = memory->entries[memory->index[at] - 1].hash & memory->mask;
        if (((at - home) & memory->mask) >= ((at - gap) & memory->mask)) {
            memory->index[gap] = memory->index[at];
            gap = at;
        }
    }
    memory->index[gap] = 0;
}

static void memory_store(Memory *memory, PyObject *key, PyObject *value)
{
    const char *data = PyBytes_AS_STRING(key);
    uint64_t hash = hash_bytes(data, PyBytes_GET_SIZE(key));
    size_t at = probe(memory, hash, data, PyBytes_GET_SIZE(key));
    Entry old = {0};
    if (memory->index[at] != 0) {
        Entry *entry = &memory->entries[memory->index[at] - 1];
        old.value = entry->value;
        entry->value = Py_NewRef(value);
    } else {
        Entry *entry = &memory->entries[memory->next];
        if (entry->key != NULL) {
            old = *entry;
            unlink_entry(memory, entry);
            at = probe(memory, hash, data, PyBytes_GET_SIZE(key));
        }
        *entry = (Entry){hash, Py_NewRef(key), Py_NewRef(value)};
        memory->index[at] = (uint32_t)(memory->next + 1);
        memory->next = (memory->next + 1) % memory->limit;
    }
    Py_XDECREF(old.key); /* at the end: what they do then finds a memory that is whole */
    Py_XDECREF(old.value);
}

static PyObject *Memory_find(Memory *self, PyObject *key)
{
    if (!PyBytes_CheckExact(key))
        return PyErr_Format(PyExc_TypeError, "bytes expected");
    PyObject *value = memory_find(self, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key));
    return Py_NewRef(value == NULL ? Py_None : value);
}

static PyObject *Memory_store(Memory *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(args[0]))
        return PyErr_Format(PyExc_TypeError, "bytes and a value expected");
    memory_store(self, args[0], args[1]);
    Py_RETURN_NONE;
}

static PyObject *Memory_list_keys(Memory *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *keys = PyList_New(0);
    for (size_t at = 0; keys != NULL && at < self->limit; at++) {
        PyObject *key = self->entries[(self->next + at) % self->limit].key;
        if (key != NULL && PyList_Append(keys, key) < 0)
            Py_CLEAR(keys);
    }
    return keys;
}

static int Memory_traverse(Memory *self, visitproc visit, void *arg)
{
    for (size_t at = 0; self->entries != NULL && at < self->limit; at++)
        Py_VISIT(self->entries[at].value);
    return 0;
}

static int Memory_clear(Memory *self)
{
    if (self->index != NULL)
        memset(self->index, 0, (self->mask + 1) * sizeof(uint32_t));
    for (size_t at = 0; self->entries != NULL && at < self->limit; at++) {
        Py_CLEAR(self->entries[at].key);
        Py_CLEAR(self->entries[at].value);
    }
    return 0;
}

static void Memory_dealloc(Memory *self)
{
    PyObject_GC_UnTrack(self);
    Memory_clear(self);
    PyMem_Free(self->entries);
    PyMem_Free(self->index);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *Memory_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"limit", NULL};
    Py_ssize_t limit;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n", names, &limit))
        return NULL;
    if (limit < 1 || limit > 1 << 24)
        return PyErr_Format(PyExc_ValueError, "a limit from 1 to 2**24 expected");
    Memory *self = (Memory *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    size_t size = 2;
    while (size < 2 * (size_t)limit)
        size *= 2;
    self->limit = (size_t)limit;
    self->mask = size - 1;
    self->entries = PyMem_Calloc((size_t)limit, sizeof(Entry));
    self->index = PyMem_Calloc(size, sizeof(uint32_t));
    if (self->entries == NULL || self->index == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static PyMethodDef Memory_methods[] = {
    {"find", (PyCFunction)Memory_find, METH_O, NULL},
    {"store", (PyCFunction)(void (*)(void))Memory_store, METH_FASTCALL, NULL},
    {"list_keys", (PyCFunction)Memory_list_keys, METH_NOARGS, NULL},
    {NULL},
};
static PyTypeObject MemoryType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "edge._hot_path.Memory",
    .tp_basicsize = sizeof(Memory),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = Memory_new,
    .tp_dealloc = (destructor)Memory_dealloc,
    .tp_traverse = (traverseproc)Memory_traverse,
    .tp_clear = (inquiry)Memory_clear,
    .tp_methods = Memory_methods,
};

/* --- header blocks that are new in their X-Forwarded-For alone --- */

static int is_value(const unsigned char *value, Py_ssize_t size)
{
    for (Py_ssize_t at = 0; at < size; at++)
        if ((value[at] < ' ' && value[at] != '\t') || value[at] == 127)
            return 0;
    return 1;
}

/* What header lines say: a remembered block, and the headers for the record, which may be more than its own. Both are
 * owned, or NULL. */
typedef struct {
    PyObject *known, *headers;
} Block;

static void release_block(Block *block)
{
    Py_XDECREF(block->known);
    Py_XDECREF(block->headers);
}

/* 1, or -1 with an error. */
static int take_block(PyObject *known, Block *block)
{
    if (!PyTuple_Check(known) || PyTuple_GET_SIZE(known) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(known, 1))) {
        PyErr_SetString(PyExc_TypeError, "a header block expected");
        return -1;
    }
    block->known = Py_NewRef(known);
    block->headers = Py_NewRef(PyTuple_GET_ITEM(known, 1));
    return 1;
}

/* A new reference: the headers, and that of the value behind them. */
static PyObject *with_forwarded(PyObject *headers, const char *value, Py_ssize_t size)
{
    Py_ssize_t before = PyBytes_GET_SIZE(headers);
    PyObject *all = PyBytes_FromStringAndSize(NULL, before + 3 + size);
    if (all == NULL)
        return NULL;
    char *at = PyBytes_AS_STRING(all);
    memcpy(at, PyBytes_AS_STRING(headers), (size_t)before);
    at[before] = FORWARDED_FOR;
    at[before + 1] = (char)(size & 0xff);
    at[before + 2] = (char)(size >> 8);
    memcpy(at + before + 3, value, (size_t)size);
    return all;
}

/* What the lines say beside the one from `start` to `value` and on, and that one. 1: found; 0: not; -1: error. */
static int find_without(Memory *blocks, const char *raw, Py_ssize_t size, const char *start, const char *value,
                        Block *block)
{
    char others[MAX_BLOCK];
    const char *end = memmem(value, (size_t)(raw + size - value), "\r\n", 2);
    if (end == NULL || end > raw + size - 4 || end - value > MAX_FORWARDED || size - (end + 2 - start) > MAX_BLOCK
        || !is_value((const unsigned char *)value, end - value))
        return 0;
    memcpy(others, raw, (size_t)(start - raw));
    memcpy(others + (start - raw), end + 2, (size_t)(raw + size - end - 2));
    PyObject *known = memory_find(blocks, others, size - (end + 2 - start));
    if (known == NULL || take_block(known, block) < 0)
        return known == NULL ? 0 : -1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    Py_SETREF(block->headers, with_forwarded(block->headers, value, end - value));
    return block->headers == NULL ? -1 : 1;
}

/* The same, wherever that line stands. */
static int find_forwarded_block(Memory *blocks, const char *raw, Py_ssize_t size, Block *block)
{
    static const char *const begins[] = {"\r\nX-Forwarded-For:", "\r\nx-forwarded-for:"};
    const Py_ssize_t length = 18;
    for (int each = 0; each < 2; each++) {
        const char *start = memmem(raw, (size_t)size, begins[each], (size_t)length);
        if (start != NULL)
            return find_without(blocks, raw, size, start + 2, start + length, block);
    }
    for (int each = 0; each < 2; each++)
        if (size >= length - 2 && memcmp(raw, begins[each] + 2, (size_t)length - 2) == 0)
            return find_without(blocks, raw, size, raw, raw + length - 2, block);
    return 0;
}

/* A new reference: of the known block's type, which is made as `_make` of a named tuple does. */
static PyObject *block_as_tuple(const Block *block)
{
    PyObject *pair = PyTuple_Pack(2, PyTuple_GET_ITEM(block->known, 0), block->headers);
    PyObject *args = pair == NULL ? NULL : PyTuple_Pack(1, pair);
    PyObject *made = args == NULL ? NULL : PyTuple_Type.tp_new(Py_TYPE(block->known), args, NULL);
    Py_XDECREF(pair);
    Py_XDECREF(args);
    return made;
}

static PyObject *find_forwarded(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !Py_IS_TYPE(args[0], &MemoryType) || !PyBytes_CheckExact(args[1]))
        return PyErr_Format(PyExc_TypeError, "a memory and bytes expected");
    Block block = {NULL, NULL};
    PyObject *raw = args[1];
    int found = find_forwarded_block((Memory *)args[0], PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), &block);
    PyObject *made = found > 0 ? block_as_tuple(&block) : found < 0 ? NULL : Py_NewRef(Py_None);
    release_block(&block);
    return made;
}

/* --- HotPath: what the connections of one worker share --- */

typedef struct {
    PyObject_HEAD
    Memory *lines, *blocks;
    PyObject *custom_hosts, *look_soon, *items, *tail;
    double now, idle_deadline;
    char is_looking, is_draining;
} HotPath;

static int HotPath_traverse(HotPath *self, visitproc visit, void *arg)
{
    Py_VISIT(self->lines);
    Py_VISIT(self->blocks);
    Py_VISIT(self->custom_hosts);
    Py_VISIT(self->look_soon);
    Py_VISIT(self->items);
    Py_VISIT(self->tail);
    return 0;
}

/* The rest clears itself, and stays: a connection that is called while it is collected finds a path that is whole. */
static int HotPath_clear(HotPath *self)
{
    Py_XSETREF(self->look_soon, Py_NewRef(Py_None));
    return 0;
}

static void HotPath_dealloc(HotPath *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->lines);
    Py_XDECREF(self->blocks);
    Py_XDECREF(self->custom_hosts);
    Py_XDECREF(self->look_soon);
    Py_XDECREF(self->items);
    Py_XDECREF(self->tail);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *HotPath_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lines", "blocks", "custom_hosts", "look_soon", NULL};
    PyObject *lines, *blocks, *hosts, *look_soon;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!O!O", names, &MemoryType, &lines, &MemoryType, &blocks,
                                     &PyDict_Type, &hosts, &look_soon))
        return NULL;
    HotPath *self = (HotPath *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->lines = (Memory *)Py_NewRef(lines);
    self->blocks = (Memory *)Py_NewRef(blocks);
    self->custom_hosts = Py_NewRef(hosts);
    self->look_soon = Py_NewRef(look_soon);
    self->tail = PyBytes_FromStringAndSize("", 0);
    self->items = PyList_New(0);
    if (self->tail == NULL || self->items == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* The items that wait; from now on there are none. */
static PyObject *HotPath_take_items(HotPath *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *empty = PyList_New(0), *items = self->items;
    if (empty == NULL)
        return NULL;
    self->items = empty;
    return items;
}

static int append_item(HotPath *self, PyObject *item)
{
    if (PyList_Append(self->items, item) < 0)
        return -1;
    if (self->is_looking)
        return 0;
    PyObject *done = PyObject_CallNoArgs(self->look_soon);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static PyObject *HotPath_append(HotPath *self, PyObject *item)
{
    if (append_item(self, item) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef HotPath_methods[] = {
    {"take_items", (PyCFunction)HotPath_take_items, METH_NOARGS, NULL},
    {"append", (PyCFunction)HotPath_append, METH_O, NULL},
    {NULL},
};
static PyMemberDef HotPath_members[] = {
    {"lines", T_OBJECT_EX, offsetof(HotPath, lines), READONLY, NULL},
    {"blocks", T_OBJECT_EX, offsetof(HotPath, blocks), READONLY, NULL},
    {"items", T_OBJECT_EX, offsetof(HotPath, items), READONLY, NULL},
    {"tail", T_OBJECT_EX, offsetof(HotPath, tail), 0, NULL},
    {"now", T_DOUBLE, offsetof(HotPath, now), 0, NULL},
    {"idle_deadline", T_DOUBLE, offsetof(HotPath, idle_deadline), 0, NULL},
    {"is_looking", T_BOOL, offsetof(HotPath, is_looking), 0, NULL},
    {"is_draining", T_BOOL, offsetof(HotPath, is_draining), 0, NULL},
    {NULL},
};
static PyTypeObject HotPathType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "edge._hot_path.HotPath",
    .tp_basicsize = sizeof(HotPath),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = HotPath_new,
    .tp_dealloc = (destructor)HotPath_dealloc,
    .tp_traverse = (traverseproc)HotPath_traverse,
    .tp_clear = (inquiry)HotPath_clear,
    .tp_methods = HotPath_methods,
    .tp_members = HotPath_members,
};

/* --- HotConnection: what a connection does with a request whose bytes were seen before --- */

typedef struct {
    PyObject_HEAD
    HotPath *hot;
    PyObject *transport, *ready_peer;
    double deadline;
    char is_free;
} HotConnection;

static int HotConnection_traverse(HotConnection *self, visitproc visit, void *arg)
{
    Py_VISIT(self->hot);
    Py_VISIT(self->transport);
    Py_VISIT(self->ready_peer);
    return 0;
}

static int HotConnection_clear(HotConnection *self)
{
    Py_CLEAR(self->transport);
    Py_CLEAR(self->ready_peer);
    return 0;
}

static void HotConnection_dealloc(HotConnection *self)
{
    PyObject_GC_UnTrack(self);
    HotConnection_clear(self);
    Py_XDECREF(self->hot);
    Py_TYPE(self)->tp_free(self);
}

static int HotConnection_init(HotConnection *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"hot", NULL};
    PyObject *hot, *no_peer;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!", names, &HotPathType, &hot))
        return -1;
    no_peer = PyBytes_FromStringAndSize("", 0);
    if (no_peer == NULL)
        return -1;
    Py_XSETREF(self->hot, (HotPath *)Py_NewRef(hot));
    Py_XSETREF(self->transport, Py_NewRef(Py_None));
    Py_XSETREF(self->ready_peer, no_peer);
    self->deadline = 0;
    self->is_free = 1;
    return 0;
}

/* 1, 0, or -1 with an error. */
static int is_fresh(PyObject *found, double now)
{
    PyObject *stale_at = PyObject_GetAttr(found, str_stale_at);
    if (stale_at == NULL)
        return -1;
    double at = PyFloat_AsDouble(stale_at);
    Py_DECREF(stale_at);
    return at == -1.0 && PyErr_Occurred() ? -1 : now < at;
}

/* 1: what `data` says; 0: that is not known; -1: error. */
static int find_block(HotPath *hot, const char *data, Py_ssize_t size, Block *block)
{
    PyObject *known = memory_find(hot->blocks, data, size);
    return known != NULL ? take_block(known, block) : find_forwarded_block(hot->blocks, data, size, block);
}

/* 1: an ordinary request for the default domain; 0: not; -1: error. */
static int is_usual(HotPath *hot, PyObject *framing)
{
    if (!PyTuple_Check(framing) || PyTuple_GET_SIZE(framing) <= IS_USUAL) {
        PyErr_SetString(PyExc_TypeError, "a framing expected");
        return -1;
    }
    if (PyTuple_GET_ITEM(framing, IS_USUAL) != Py_True)
        return 0;
    if (PyDict_GET_SIZE(hot->custom_hosts) == 0)
        return 1;
    int is_custom = PyDict_Contains(hot->custom_hosts, PyTuple_GET_ITEM(framing, HOST));
    return is_custom < 0 ? -1 : !is_custom;
}

static int append_scan(HotConnection *self, PyObject *found, PyObject *headers)
{
    HotPath *hot = self->hot;
    if (self->transport == NULL || self->ready_peer == NULL || hot->tail == NULL) {
        PyErr_SetString(PyExc_AttributeError, "the transport, the peer or the tail was deleted");
        return -1;
    }
    PyObject *item = PyTuple_Pack(ITEM_SIZE, self->transport, found, self->ready_peer, headers, hot->tail);
    if (item == NULL)
        return -1;
    self->deadline = hot->idle_deadline;
    int failed = append_item(hot, item);
    Py_DECREF(item);
    return failed;
}

/* 1: the scan waits in the items, or was taken as the last of its connection; 0: not for here; -1: error. */
static int take_scan(HotConnection *self, PyObject *found, const Block *block)
{
    PyObject *framing = PyTuple_GET_ITEM(block->known, 0);
    int usual = is_usual(self->hot, framing);
    if (usual <= 0)
        return usual;
    if (!self->hot->is_draining && PyTuple_GET_ITEM(framing, CLOSES) != Py_True)
        return append_scan(self, found, block->headers) < 0 ? -1 : 1;
    PyObject *done = PyObject_CallMethodObjArgs((PyObject *)self, str_take_last, found, block->headers, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 1;
}

/* The same, from the bytes: one whole request, whose line and headers were seen before. */
static int take_data(HotConnection *self, const char *data, Py_ssize_t size)
{
    const char *end = memchr(data, '\r', (size_t)size);
    if (end == NULL || end + 2 > data + size || end[1] != '\n')
        return 0;
    PyObject *found = memory_find(self->hot->lines, data, end - data);
    if (found == NULL)
        return 0;
    Block block = {NULL, NULL};
    Py_INCREF(found);
    int taken = is_fresh(found, self->hot->now);
    if (taken > 0)
        taken = find_block(self->hot, end + 2, data + size - end - 2, &block);
    if (taken > 0)
        taken = take_scan(self, found, &block);
    release_block(&block);
    Py_DECREF(found);
    return taken;
}

static PyObject *HotConnection_data_received(HotConnection *self, PyObject *data)
{
    if (self->is_free && self->hot != NULL && PyBytes_CheckExact(data)) {
        int taken = take_data(self, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data));
        if (taken < 0)
            return NULL;
        if (taken > 0)
            Py_RETURN_NONE;
    }
    return PyObject_CallMethodOneArg((PyObject *)self, str_receive, data);
}

static PyMethodDef HotConnection_methods[] = {
    {"data_received", (PyCFunction)HotConnection_data_received, METH_O, NULL},
    {NULL},
};
static PyMemberDef HotConnection_members[] = {
    {"_hot", T_OBJECT_EX, offsetof(HotConnection, hot), READONLY, NULL},
    {"_transport", T_OBJECT_EX, offsetof(HotConnection, transport), 0, NULL},
    {"_ready_peer", T_OBJECT_EX, offsetof(HotConnection, ready_peer), 0, NULL},
    {"_deadline", T_DOUBLE, offsetof(HotConnection, deadline), 0, NULL},
    {"_is_free", T_BOOL, offsetof(HotConnection, is_free), 0, NULL},
    {NULL},
};
static PyTypeObject HotConnectionType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "edge._hot_path.HotConnection",
    .tp_basicsize = sizeof(HotConnection),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)HotConnection_init,
    .tp_dealloc = (destructor)HotConnection_dealloc,
    .tp_traverse = (traverseproc)HotConnection_traverse,
    .tp_clear = (inquiry)HotConnection_clear,
    .tp_methods = HotConnection_methods,
    .tp_members = HotConnection_members,
};

/* --- what is done with the items --- */

/* A new reference: an item, whatever else is in the list. */
static PyObject *get_item(PyObject *items, Py_ssize_t at)
{
    PyObject *item = PyList_GET_ITEM(items, at);
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != ITEM_SIZE)
        return PyErr_Format(PyExc_TypeError, "an item expected");
    return Py_NewRef(item);
}

/* The parts one behind the other. They are bytes. */
static PyObject *join(PyObject *const *parts, int count)
{
    Py_ssize_t size = 0;
    for (int each = 0; each < count; each++) {
        if (!PyBytes_CheckExact(parts[each]))
            return PyErr_Format(PyExc_TypeError, "bytes expected");
        size += PyBytes_GET_SIZE(parts[each]);
    }
    PyObject *joined = PyBytes_FromStringAndSize(NULL, size);
    if (joined == NULL)
        return NULL;
    char *at = PyBytes_AS_STRING(joined);
    for (int each = 0; each < count; each++) {
        memcpy(at, PyBytes_AS_STRING(parts[each]), (size_t)PyBytes_GET_SIZE(parts[each]));
        at += PyBytes_GET_SIZE(parts[each]);
    }
    return joined;
}

/* Scans of one outcome, one behind the other: most of a tick are one run. */
typedef struct {
    PyObject *outcome, *moment;
    long count;
} Run;

static int count_run(const Run *run, PyObject *scans)
{
    if (run->count == 0)
        return 0;
    Py_ssize_t number = PyNumber_AsSsize_t(run->outcome, PyExc_IndexError);
    if (number == -1 && PyErr_Occurred())
        return -1;
    PyObject *before = PyList_GetItem(scans, number);
    long long total = before == NULL ? -1 : PyLong_AsLongLong(before);
    if (total == -1 && PyErr_Occurred())
        return -1;
    PyObject *after = PyLong_FromLongLong(total + run->count);
    return after == NULL ? -1 : PyList_SetItem(scans, number, after);
}

static int begin_run(Run *run, PyObject *outcome, PyObject *scans, PyObject *encode_moment)
{
    if (count_run(run, scans) < 0)
        return -1;
    run->count = 0;
    Py_XSETREF(run->outcome, Py_NewRef(outcome));
    Py_XSETREF(run->moment, PyObject_CallOneArg(encode_moment, outcome));
    return run->moment == NULL ? -1 : 0;
}

static PyObject *pack_record(PyObject *item, Run *run, PyObject *scans, PyObject *encode_moment)
{
    PyObject *found = PyTuple_GET_ITEM(item, FOUND), *payload = NULL;
    PyObject *outcome = PyObject_GetAttr(found, str_outcome);
    PyObject *prefix = outcome == NULL ? NULL : PyObject_GetAttr(found, str_prefix);
    if (prefix != NULL && (outcome == run->outcome || begin_run(run, outcome, scans, encode_moment) == 0)) {
        PyObject *parts[] = {prefix, run->moment, PyTuple_GET_ITEM(item, DATA), PyTuple_GET_ITEM(item, HEADERS)};
        payload = join(parts, 4);
        run->count++;
    }
    Py_XDECREF(outcome);
    Py_XDECREF(prefix);
    return payload;
}

static int pack_all(PyObject *items, PyObject *scans, PyObject *encode_moment, PyObject *payloads)
{
    Run run = {NULL, NULL, 0};
    int failed = 0;
    for (Py_ssize_t at = 0; !failed && at < PyList_GET_SIZE(items); at++) {
        PyObject *item = get_item(items, at);
        failed = item == NULL;
        if (!failed && PyTuple_GET_ITEM(item, FOUND) != Py_None) {
            PyObject *payload = pack_record(item, &run, scans, encode_moment);
            failed = payload == NULL || PyList_Append(payloads, payload) < 0;
            Py_XDECREF(payload);
        }
        Py_XDECREF(item);
    }
    if (!failed)
        failed = count_run(&run, scans) < 0;
    Py_XDECREF(run.outcome);
    Py_XDECREF(run.moment);
    return failed ? -1 : 0;
}

static PyObject *pack_records(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !PyList_CheckExact(args[0]) || !PyList_CheckExact(args[1]))
        return PyErr_Format(PyExc_TypeError, "items, scans and a function expected");
    PyObject *payloads = PyList_New(0);
    if (payloads != NULL && pack_all(args[0], args[1], args[2], payloads) < 0)
        Py_CLEAR(payloads);
    return payloads;
}

static PyObject *encode_answer(PyObject *item)
{
    PyObject *found = PyTuple_GET_ITEM(item, FOUND);
    if (found == Py_None)
        return Py_NewRef(PyTuple_GET_ITEM(item, DATA));
    PyObject *head = PyObject_GetAttr(found, str_head);
    PyObject *value = head == NULL ? NULL : PyObject_GetAttr(found, str_value);
    PyObject *body = value == NULL ? NULL : PyObject_GetAttr(found, str_body);
    PyObject *parts[] = {head, value, PyTuple_GET_ITEM(item, TAIL), body};
    PyObject *answer = body == NULL ? NULL : join(parts, 4);
    Py_XDECREF(head);
    Py_XDECREF(value);
    Py_XDECREF(body);
    return answer;
}

static int has_same_answer(PyObject *item, PyObject *last)
{
    return last != NULL && PyTuple_GET_ITEM(item, FOUND) != Py_None
        && PyTuple_GET_ITEM(item, FOUND) == PyTuple_GET_ITEM(last, FOUND)
        && PyTuple_GET_ITEM(item, TAIL) == PyTuple_GET_ITEM(last, TAIL);
}

/* Where the connection was closed meanwhile, the others' answers leave all the same. */
static int write_answer(PyObject *transport, PyObject *answer)
{
    PyObject *written = PyObject_CallMethodOneArg(transport, str_write, answer);
    Py_XDECREF(written);
    if (written == NULL && !PyErr_ExceptionMatches(PyExc_RuntimeError))
        return -1;
    PyErr_Clear();
    return 0;
}

static PyObject *write_answers(PyObject *Py_UNUSED(module), PyObject *items)
{
    if (!PyList_CheckExact(items))
        return PyErr_Format(PyExc_TypeError, "a list expected");
    PyObject *answer = NULL, *last = NULL;
    int failed = 0;
    for (Py_ssize_t at = 0; !failed && at < PyList_GET_SIZE(items); at++) {
        PyObject *item = get_item(items, at);
        if (item != NULL && !has_same_answer(item, last))
            Py_XSETREF(answer, encode_answer(item));
        failed = item == NULL || answer == NULL || write_answer(PyTuple_GET_ITEM(item, TRANSPORT), answer) < 0;
        Py_XSETREF(last, item);
    }
    Py_XDECREF(answer);
    Py_XDECREF(last);
    return failed ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"find_forwarded", (PyCFunction)(void (*)(void))find_forwarded, METH_FASTCALL, NULL},
    {"pack_records", (PyCFunction)(void (*)(void))pack_records, METH_FASTCALL, NULL},
    {"write_answers", write_answers, METH_O, NULL},
    {NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "edge._hot_path", .m_size = -1, .m_methods = functions};

/* Python's hash of strings is keyed with random bytes: what it says of any is as good as random. */
static void seed_hash(void)
{
    seeds[0] = (uint64_t)PyObject_Hash(str_stale_at);
    seeds[1] = (uint64_t)PyObject_Hash(str_prefix);
    seeds[2] = (uint64_t)PyObject_Hash(str_outcome);
}

static int intern_names(void)
{
    str_stale_at = PyUnicode_InternFromString("stale_at");
    str_prefix = PyUnicode_InternFromString("prefix");
    str_outcome = PyUnicode_InternFromString("outcome");
    str_head = PyUnicode_InternFromString("head");
    str_value = PyUnicode_InternFromString("value");
    str_body = PyUnicode_InternFromString("body");
    str_write = PyUnicode_InternFromString("write");
    str_receive = PyUnicode_InternFromString("_receive");
    str_take_last = PyUnicode_InternFromString("_take_last");
    if (PyErr_Occurred())
        return -1;
    seed_hash();
    return 0;
}

PyMODINIT_FUNC PyInit__hot_path(void)
{
    PyObject *module = intern_names() < 0 ? NULL : PyModule_Create(&definition);
    if (module == NULL || PyModule_AddType(module, &MemoryType) < 0 || PyModule_AddType(module, &HotPathType) < 0
        || PyModule_AddType(module, &HotConnectionType) < 0
        || PyModule_AddIntConstant(module, "SOURCE_CRC", SOURCE_CRC) < 0) /* see hot_path.py */
        Py_CLEAR(module);
    return module;
}
