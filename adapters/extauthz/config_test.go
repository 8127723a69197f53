package extauthzgate_test

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// The configuration of docs/proxies.md is one of Envoy's API, and closes what it says that it
// closes.
func TestTheConfigurationOfEnvoy(t *testing.T) {
	page, err := os.ReadFile("../../docs/proxies.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```yaml\n(- name: envoy.filters.network.http_connection_manager.*?)```").FindSubmatch(page)
	require.NotNil(t, block)
	var filters []any
	require.NoError(t, yaml.Unmarshal(block[1], &filters))
	require.Len(t, filters, 1)
	text, err := json.Marshal(filters[0])
	require.NoError(t, err)
	var filter listenerv3.Filter
	require.NoError(t, protojson.Unmarshal(text, &filter)) // which knows every field, and no other
	var manager hcmv3.HttpConnectionManager
	require.NoError(t, filter.GetTypedConfig().UnmarshalTo(&manager))
	require.True(t, manager.GetNormalizePath().GetValue())
	require.True(t, manager.GetMergeSlashes())
	require.Equal(t, hcmv3.HttpConnectionManager_REJECT_REQUEST, manager.GetPathWithEscapedSlashesAction())
	require.Equal(t, corev3.HttpProtocolOptions_REJECT_REQUEST, manager.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction())
	require.Empty(t, manager.GetUpgradeConfigs())

	require.Len(t, manager.GetHttpFilters(), 2)
	var asks extauthzv3.ExtAuthz
	require.NoError(t, manager.GetHttpFilters()[0].GetTypedConfig().UnmarshalTo(&asks))
	require.NoError(t, asks.ValidateAll())
	require.False(t, asks.GetFailureModeAllow())
	require.False(t, asks.GetClearRouteCache())
	require.True(t, asks.GetEncodeRawHeaders())
	require.True(t, asks.GetIncludePeerCertificate())
	require.EqualValues(t, 503, asks.GetStatusOnError().GetCode())
	require.Nil(t, asks.GetAllowedHeaders())
	require.Nil(t, asks.GetDisallowedHeaders())
	require.Nil(t, asks.GetWithRequestBody())
	require.Nil(t, asks.GetFilterEnabled())
	require.Nil(t, asks.GetFilterEnabledMetadata())
	require.False(t, asks.GetShadowMode())
	require.Nil(t, asks.GetDecoderHeaderMutationRules())
	require.Nil(t, asks.GetGrpcService().GetRetryPolicy())
	require.Nil(t, manager.GetLocalReplyConfig())
}
