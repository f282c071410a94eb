"""For which generation of the client API an application was written."""
import pytest

from tinyvgg.xcubeai.client import client_of, clients_beside


@pytest.mark.parametrize("text, client", [
    ("ai_buffer in[AI_NET_IN_NUM] = AI_NET_IN ;\nai_net_create(&h, AI_NET_DATA_CONFIG);", "5"),
    ("ai_input[0].n_batches = 1; n = ai_network_run(network, &in, &out);", "5"),
    ("static ai_buffer *in; in = ai_network_inputs_get(h, NULL); ai_network_create_and_init(&h, a, NULL);", "7"),
    ("ai_network_create(&h, NULL); /* buf.n_batches was of before */", "7"),
    ("static stai_network network[STAI_NETWORK_CONTEXT_SIZE]; err = stai_network_init(network); ai_old_run(a);", "stai"),
    ("// ai_network_run(network)\nint main(void) { return 0; }", None), ("stai_runtime_init();", None), ("", None)])
def test_client_of(text, client):
    assert client_of(text) == client


def test_beside_a_report(tmp_path):
    (tmp_path / "app_x-cube-ai.c").write_text("ai_network_create_and_init(&h, a, NULL);")
    (tmp_path / "other.c").write_text("stai_network_run(network, STAI_MODE_SYNC);")
    (tmp_path / "report.txt").write_text("")
    expected = {str(tmp_path / "app_x-cube-ai.c"): "7"}
    assert clients_beside(tmp_path) == clients_beside(tmp_path / "report.txt") == expected
