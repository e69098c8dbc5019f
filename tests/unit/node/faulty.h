// SPDX-License-Identifier: Apache-2.0
// A node whose store fails when told to: fixture options.wrap_store = wrap.
#ifndef TESTS_UNIT_NODE_FAULTY_H
#define TESTS_UNIT_NODE_FAULTY_H

#include "store/fault.h"

static struct kvs_store *faulty; // the store of the node under test

static int wrap(struct kvs_store *inner, struct kvs_store **ret_store)
{
    int err = kvs_fault_new(inner, ret_store);
    if (!err)
        faulty = *ret_store;
    return err;
}

#endif
