#include "address.h"
#include "reading.h"

static bool read_network(
	struct tree *tree, struct network *network, const config_setting_t *entry, const char *of_everybody)
{
	const char *text = entry_text(entry, "address"), *why;
	char shown[NETWORK_TEXT_SIZE];

	if (text == NULL || text[0] == '\0')
		return false;
	why = network_from_text(network, text);
	if (why != NULL) {
		setting_error(tree, entry, "\"%.80s\": %s", text, why);
		return false;
	}
	if (!network_cut(network)) {
		setting_error(tree, entry, "\"%.80s\": has bits set behind the prefix; did you mean \"%s\"?",
			text, network_text(shown, network));
		return false;
	}
	if (network->prefix == 0)
		setting_warning(tree, entry, "\"%s\": %s", text, of_everybody);
	return true;
}

struct network *read_networks(
	struct tree *tree, const config_setting_t *list, const char *of_everybody, size_t *count)
{
	bool is_list = list != NULL && (config_setting_is_list(list) || config_setting_is_array(list));
	int length = is_list ? config_setting_length(list) : 0;
	struct network *networks = tree_array(tree, (size_t)length, sizeof *networks);

	*count = 0;
	for (int i = 0; networks != NULL && i < length; i++)
		if (read_network(tree, &networks[*count], config_setting_get_elem(list, (unsigned)i),
			    of_everybody))
			++*count;
	return networks;
}
