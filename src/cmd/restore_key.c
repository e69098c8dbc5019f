// SPDX-License-Identifier: Apache-2.0
// An earlier version of a key becomes the current one again.
#include "cmd/restore_key.h"

#include <inttypes.h>
#include <stdio.h>

#include "cmd/client_args.h"
#include "cmd/receipt_args.h"
#include "cmd/written.h"

enum { REVISION_BEFORE = 2, REVISION_MAX = 1000 };

static int parse_revision(const struct kvs_args *args, uint32_t *ret_revision)
{
    const char *text = kvs_args_value(args, "rev");
    uint64_t number = REVISION_BEFORE;
    if (text && (!kvs_slice_to_u64(kvs_slice_from_str(text), &number) || number == 0 ||
                 number > REVISION_MAX))
        return kvs_cmd_usage_error(args->command,
                                   "--rev '%s' is no revision: 1 is the newest, 2 the one before "
                                   "('kvs history' shows them)",
                                   text);
    *ret_revision = (uint32_t)number;
    return KVS_EXIT_OK;
}

static int show(const struct kvs_args *args, uint32_t revision,
                const struct kvs_client_version *version, const struct kvs_client_receipt *receipt)
{
    char detail[64];
    char json[32];
    (void)snprintf(detail, sizeof(detail), " as it was in revision %" PRIu32, revision);
    (void)snprintf(json, sizeof(json), ",\"restored\":%" PRIu32, revision);
    return kvs_cmd_show_written(args, &(struct kvs_cmd_written){.done = "restored",
                                                                .detail = detail,
                                                                .json = json,
                                                                .version = version,
                                                                .receipt = receipt});
}

int kvs_cmd_restore_key(const struct kvs_args *args)
{
    uint32_t revision = 0;
    struct kvs_client *client = NULL;
    struct kvs_client_receipt receipt;
    struct kvs_client_put_options options;
    int code = kvs_cmd_put_options_read(args, &receipt, &options);
    if (code == KVS_EXIT_OK)
        code = parse_revision(args, &revision);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_version version;
    struct kvs_client_error error;
    if (kvs_client_restore(client, args->operands[0], revision, &options, &version, &error) ==
        KVS_CLIENT_OK)
        code = show(args, revision, &version, &receipt);
    else
        code = kvs_cmd_client_error(&error);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_receipt_check(&receipt, "restored");
    kvs_client_free(client);
    return code;
}
